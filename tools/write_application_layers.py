"""Record what Keras's 40 applications are, for tests to compare with.

    python tools/write_application_layers.py

Needs the Keras that the parity tests use. For each architecture with its top, in
order: `name class` of every layer, `path shape` of every weight, and how many numbers
the weights hold; names that Keras counts are those of a process that made no other
model. For one of each family what a small one gives, with weights by a formula.
"""

from __future__ import annotations

import gzip
import importlib
import inspect
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).parents[1] / "tests/applications/keras.json.gz"
_COMMON = {"weights": None, "classes": 10, "classifier_activation": None}
SMALL: dict[str, dict[str, Any]] = {
    name: _COMMON | options
    for name, options in {
        "ConvNeXtTiny": {"input_shape": (32, 32, 3)},
        "DenseNet121": {"input_shape": (32, 32, 3)},
        "EfficientNetB0": {"input_shape": (32, 32, 3)},
        "EfficientNetV2B0": {"input_shape": (32, 32, 3)},
        "InceptionResNetV2": {"input_shape": (75, 75, 3)},
        "InceptionV3": {"input_shape": (75, 75, 3)},
        "MobileNet": {"input_shape": (32, 32, 3), "alpha": 0.25},
        "MobileNetV2": {"input_shape": (33, 48, 3), "alpha": 0.35},
        "MobileNetV3Small": {"input_shape": (32, 45, 3), "alpha": 0.75},
        "NASNetMobile": {"input_shape": (32, 32, 3)},
        "ResNet50": {"input_shape": (32, 32, 3)},
        "ResNet50V2": {"input_shape": (32, 32, 3)},
        "VGG16": {"input_shape": (32, 32, 3)},
        "Xception": {"input_shape": (71, 71, 3)},
    }.items()
}


_MORE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("MobileNet", {"alpha": 0.25, "input_shape": (128, 128, 3)}),
    ("MobileNet", {"alpha": 0.75, "input_shape": (192, 192, 3)}),
    ("MobileNetV2", {"alpha": 0.35, "input_shape": (96, 96, 3)}),
    ("MobileNetV2", {"alpha": 1.4, "input_shape": (160, 160, 3)}),
    ("MobileNetV3Large", {"alpha": 0.75}),
    ("MobileNetV3Small", {"alpha": 0.75}),
    ("MobileNetV3Large", {"minimalistic": True}),
    ("MobileNetV3Small", {"minimalistic": True}),
)


class Stopped(Exception):
    """Raised in place of a download."""


def stop(fname: str, origin: str, cache_subdir: str = "", **hashes: Any) -> Any:
    """In place of `get_file`: what would be downloaded, and where it would be kept."""
    raise Stopped([fname, origin, cache_subdir, hashes.get("file_hash")])


def calls(names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Calls with published weights, one for each file that is compared."""
    with_top = [(name, {}) for name in names if not name.startswith("MobileNetV3")]
    shape = {"input_shape": (224, 224, 3), "include_top": False}
    return [*with_top, *((name, shape) for name in names), *_MORE]


class Nothing:
    """Stands for layers, models and tensors alike: does nothing, at once."""

    shape = (None, 224, 224, 3)

    def __call__(self, *_: Any, **__: Any) -> Nothing:
        return self

    def __getattr__(self, name: str) -> Nothing:
        return self

    __add__ = __radd__ = __mul__ = __call__


def empty(applications: Any) -> None:
    """Keras's networks are made of nothing from now on, and download nothing."""
    made_of = "layers Functional Sequential LayerScale CustomScaleLayer".split()
    for module in vars(applications).values():
        for name in made_of if inspect.ismodule(module) else ():
            if hasattr(module, name):
                setattr(module, name, Nothing())
            if hasattr(module, "file_utils"):
                module.file_utils.get_file = stop


def download(make: Any, arguments: dict[str, Any]) -> list[Any]:
    """What a call would download, where `get_file` is `stop`."""
    try:
        make(**arguments)
    except Stopped as stopped:
        return stopped.args[0]
    raise AssertionError(f"nothing was downloaded for {arguments}")


def recorded(model: Any) -> dict[str, Any]:
    """What is compared of a model, of Keras's or of Carnyx's."""
    return {
        "layers": [f"{x.name} {type(x).__name__}" for x in model.layers],
        "weights": [f"{w.path} {','.join(map(str, w.shape))}" for w in model.weights],
        "count": model.count_params(),
    }


def outputs(model: Any, predict: Callable[[np.ndarray], Any]) -> list[list[float]]:
    """What the model gives for two images, with weights by a formula."""
    for i, weight in enumerate(model.weights):
        value = _value(weight, np.random.RandomState(i))
        if value is not None:
            weight.assign(value.astype("float32"))
    shape = (2, *model.input_shape[1:])
    images = np.random.RandomState(0).uniform(0, 255, shape).astype("float32")
    return np.asarray(predict(images), "float64").tolist()


def _value(weight: Any, random: np.random.RandomState) -> np.ndarray | None:
    """Numbers with which nothing grows or vanishes on the way; None to leave it."""
    shape, kind = tuple(weight.shape), weight.path.split("/")[-1]
    if kind in ("mean", "variance", "count"):  # of a Normalization
        return None
    if kind in ("gamma", "moving_variance"):
        return random.uniform(0.9, 1.1, shape)
    if "kernel" not in kind:
        return 0.1 * random.randn(*shape)
    inputs = shape[:2] if "depthwise" in kind else shape[:-1]
    return random.randn(*shape) * math.sqrt(1.5 / math.prod(inputs))


def main() -> None:
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    keras = importlib.import_module("keras")  # here: the tests import this file
    made: dict[str, Any] = {"layers": {}, "outputs": {}}
    for name, make in sorted(vars(keras.applications).items()):
        if not inspect.isfunction(make):
            continue
        if name in SMALL:
            model = make(**SMALL[name])
            made["outputs"][name] = outputs(model, model.predict)
        keras.utils.clear_session()
        with keras.StatelessScope(initialize_variables=False):  # no values: less room
            made["layers"][name] = recorded(make(weights=None))
        print(name, made["layers"][name]["count"], flush=True)
    empty(keras.src.applications)
    made["downloads"] = [
        download(getattr(keras.applications, name), arguments)
        for name, arguments in calls(list(made["layers"]))
    ]
    text = json.dumps(made, separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(text, mtime=0))


if __name__ == "__main__":
    main()
