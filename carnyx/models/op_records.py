"""Recorded ops in the form of Keras 3, where every op is a class, and back.

Some arguments of an op belong to the constructor of Keras's class (`Sum(axis,
keepdims)`) and stand in the record's config; the others are what it is called with and
stand in the node.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from carnyx import ops, registry
from carnyx._core.node import Node, OpCall
from carnyx._core.op import record
from carnyx._core.operators import OPS
from carnyx._core.symbol import any_symbolic
from carnyx.errors import UnknownNameError, nearest

_MODULES = ("numpy", "nn", "math", "linalg", "image", "core")

# Class names that are not the op's name in camel case.
_CLASS_NAMES = {
    "svd": "SVD", "jvp": "JVP", "fft": "FFT", "fft2": "FFT2", "ifft2": "IFFT2",
    "rfft": "RFFT", "irfft": "IRFFT", "stft": "STFT", "istft": "ISTFT",
    "cdist": "CDist", "psnr": "PSNR", "ctc_loss": "CTCLoss",
    "ctc_decode": "CTCDecode", "allclose": "AllClose",
    "searchsorted": "SearchSorted", "isin": "IsIn", "ssim": "SSIM",
    "rgb_to_grayscale": "RGBToGrayscale", "rgb_to_hsv": "RGBToHSV",
    "hsv_to_rgb": "HSVToRGB",
}  # fmt: skip
_OP_NAMES = {class_name: name for name, class_name in _CLASS_NAMES.items()}

_SAME = {"TrueDivide": "Divide"}  # a second name, which Keras records for x / y

# Parameters that Keras's classes take in `call`; all others are their constructor's.
_CALLED = frozenset(
    "f xs elements init elems loop_vars init_val pred true_fn false_fn index branches "
    "operands variable x indices values inputs updates start_indices a b fun primals "
    "tangents abs_ angle data segment_ids targets predictions y query key value bias "
    "mask scale kernel depthwise_kernel pointwise_kernel target output x1 x2 "
    "target_length output_length sequence_lengths kwargs start stop step condition "
    "condlist choicelist default sorted_sequence q array constant_values images image1 "
    "image2 coordinates transform start_points end_points translation".split()
)
_EXCEPTIONS: dict[str, dict[str, bool]] = {
    "digitize": {"bins": True},
    "isclose": {"rtol": True, "atol": True},
    "average": {"weights": True},
    "full_like": {"fill_value": True},
    "full": {"fill_value": True},
    "trapezoid": {"x": False},
    "squareplus": {"b": False},
    "scatter": {"shape": False},
}


def _is_called(op_name: str, parameter: str) -> bool:
    exceptions = _EXCEPTIONS.get(op_name, {})
    return exceptions.get(parameter, parameter in _CALLED)


def class_name_of(op_name: str) -> str:
    """The class that Keras 3 has for an op.

    >>> class_name_of("get_item"), class_name_of("rfft")
    ('GetItem', 'RFFT')
    """
    camel = "".join(p[:1].upper() + p[1:] for p in op_name.split("_"))
    return _CLASS_NAMES.get(op_name, camel)


def module_of(op_name: str) -> str:
    """The module of that class."""
    for module in _MODULES:
        if op_name in getattr(ops, module).__all__:
            return f"keras.src.ops.{module}"
    return "keras.src.ops.numpy"


def op_record(operation: OpCall, node: Node) -> tuple[dict[str, Any], tuple]:
    """The record without its nodes, and the `(args, kwargs)` of its one call."""
    name = operation.fn.op_name
    bound = inspect.signature(operation.fn).bind(*node.args, **node.kwargs)
    config, args = {"name": operation.name}, []
    for parameter, value in bound.arguments.items():
        if _is_called(name, parameter):
            args.append(value)
        else:
            config[parameter] = registry.serialize_keras_object(value)
    class_name = class_name_of(name)
    entry = {
        "module": module_of(name),
        "class_name": class_name,
        "config": config,
        "registered_name": class_name,
    }
    return entry, (args, {})


@functools.cache
def _by_class_name() -> dict[str, str]:
    return {class_name_of(name): name for name in OPS}


class _Bound:
    """An op with the constructor's arguments in place; calling it records a node."""

    def __init__(self, fn: Any, name: str, config: dict[str, Any]) -> None:
        self.fn, self.name, self.config = fn, name, config

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        parameters = inspect.signature(self.fn).parameters
        called = [p for p in parameters if _is_called(self.fn.op_name, p)]
        given = dict(zip(called, args, strict=False)) | kwargs | self.config
        given = {p: given[p] for p in parameters if p in given}
        if isinstance(given.get("key"), list):  # JSON has no tuples
            given["key"] = tuple(given["key"])
        if any_symbolic(given):
            return record(OpCall(self.fn, self.name), (), given)
        return self.fn(**given)


def op_from_record(entry: dict[str, Any]) -> _Bound | None:
    """The op that a record names, or None where it names a layer.

    Raises:
        UnknownNameError: for a class of Keras's ops that there is no op for.
    """
    module = str(entry.get("module") or "")
    if not module.startswith("keras.src.ops."):
        return None
    class_name = entry["class_name"]
    name = _by_class_name().get(_SAME.get(class_name, class_name))
    if name is None:
        raise UnknownNameError(
            f"Op {class_name!r} (module {module!r}) is not known."
            f"{nearest(class_name, _by_class_name())}"
        )
    config = dict(entry["config"])
    label = config.pop("name", None) or entry.get("name")
    config = {k: registry.deserialize_keras_object(v) for k, v in config.items()}
    return _Bound(OPS[name], str(label), config)
