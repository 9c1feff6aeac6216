"""What the checks with 8 devices share: models, runs of them, their transfers."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import numpy as np

import carnyx as keras
from tests.training import networks

BYTES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "s8": 1, "u8": 1, "pred": 1}


def mlp(k: Any) -> Any:
    return k.Sequential(
        [
            k.Input((12,)),
            k.layers.Dense(16, activation="relu", kernel_regularizer="l2"),
            k.layers.Dropout(0.3),
            k.layers.Dense(4, activation="softmax"),
        ]
    )


NETWORKS = {
    "mlp": mlp,
    "convnet": networks.convnet,
    "lstm": networks.lstm,
    "transformer": networks.transformer,
    "two_by_two": networks.two_by_two,
}


def compiled(name: str, metrics: bool = True) -> Any:
    """A model from a seed; what it computes depends on nothing else."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    model = NETWORKS[name](keras)
    categorical = keras.losses.SparseCategoricalCrossentropy(from_logits=name != "mlp")
    loss: Any = {
        "lstm": "binary_crossentropy",
        "two_by_two": ["mse", "categorical_crossentropy"],
    }.get(name, categorical)
    wanted: Any = ["accuracy"]
    wanted = {"lstm": ["accuracy", "auc"], "two_by_two": [["mae"], wanted]}.get(
        name, wanted
    )
    # Adam would make steps of full length out of the rounding of a zero gradient
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)
    model.compile(optimizer, loss, metrics=wanted if metrics else None)
    return model


def train(name: str, distribution: Any, batch_size: int, **fit: Any) -> dict[str, Any]:
    """What is seen of 20 steps of training, of evaluation and prediction."""
    keras.distribution.set_distribution(distribution)
    try:
        model = compiled(name)
        samples = 50 if name in ("mlp", "convnet") else 36
        epochs = -(-20 // -(-samples // batch_size))
        x, y = networks.data_for(name, samples)
        fit |= {"batch_size": batch_size, "epochs": epochs, "verbose": 0}
        history = model.fit(x, y, **fit).history
        scores = model.evaluate(x, y, batch_size=batch_size, verbose=0)
        predicted = model.predict(x, batch_size=batch_size, verbose=0)
        return {
            **history,
            "evaluate": scores,
            "predict": predicted,
            "weights": model.get_weights(),
        }
    finally:
        keras.distribution.set_distribution(None)


def flat(value: Any) -> np.ndarray:
    parts = value if isinstance(value, list) else [value]
    return np.concatenate([np.ravel(np.asarray(p, "float64")) for p in parts])


class Transfer(NamedTuple):
    kind: str
    sizes: list[int]  # bytes of each operand, as a device receives it

    @property
    def bytes(self) -> int:
        return sum(self.sizes)


def transfers(text: str) -> list[Transfer]:
    """What a compiled program sends between devices."""
    kinds = "all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all"
    found = []
    for line in text.splitlines():
        match = re.search(rf"= (.*?) ({kinds})(-start)?\(", line)
        if match:
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            counts = [math.prod(map(int, s.split(",") if s else [])) for _, s in shapes]
            sizes = [BYTES[t] * n for (t, _), n in zip(shapes, counts, strict=True)]
            found.append(Transfer(match[2], sizes))
    return found


def step_text(model: Any, x: Any, y: Any) -> str:
    """The compiled program of a training step on such a batch."""
    return model.train_program().lower((x, y)).compile().as_text()
