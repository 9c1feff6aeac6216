"""Recorded ops in the form of Keras 3, where every op is a class, and back.

Some arguments of an op belong to the constructor of Keras's class (`Sum(axis,
keepdims)`) and stand in the record's config; the others are what it is called with and
stand in the node.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from carnyx import ops, registry
from carnyx._core.node import Node, OpCall
from carnyx._core.op import operands_of, record
from carnyx._core.operators import OPS
from carnyx._core.symbol import any_symbolic
from carnyx.errors import GraphError, UnknownNameError, nearest

_MODULES = ("numpy", "nn", "math", "linalg", "image", "core")

# Class names that are not the op's name in camel case.
_CLASS_NAMES = {
    "svd": "SVD", "jvp": "JVP", "fft": "FFT", "fft2": "FFT2", "ifft2": "IFFT2",
    "rfft": "RFFT", "irfft": "IRFFT", "stft": "STFT", "istft": "ISTFT",
    "cdist": "CDist", "psnr": "PSNR", "ctc_loss": "CTCLoss",
    "ctc_decode": "CTCDecode", "allclose": "AllClose",
    "searchsorted": "SearchSorted", "isin": "IsIn", "ssim": "SSIM",
    "rgb_to_grayscale": "RGBToGrayscale", "rgb_to_hsv": "RGBToHSV",
    "hsv_to_rgb": "HSVToRGB", "layer_normalization": "LayerNorm",
    "rms_normalization": "RMSNorm", "batch_normalization": "BatchNorm",
}  # fmt: skip

# Second names of the same class; x / y is recorded as TrueDivide.
_SAME = {
    "TrueDivide": "Divide", "Abs": "Absolute", "Conj": "Conjugate",
    "BitwiseNot": "BitwiseInvert", "LeftShift": "BitwiseLeftShift",
    "RightShift": "BitwiseRightShift",
}  # fmt: skip

# Ops of the same modules for which Keras has no class, as they take no symbols there.
_WITHOUT_CLASS = frozenset(
    "bartlett blackman extract_patches_3d hamming hanning kaiser rearrange".split()
)


def _is_called(fn: Any, parameter: str) -> bool:
    """Whether Keras's class takes it in `call`; all others are its constructor's."""
    return module_of(fn.op_name) == _OWN or parameter in operands_of(fn)


def class_name_of(op_name: str) -> str:
    """The class that Keras 3 has for an op.

    >>> class_name_of("get_item"), class_name_of("rfft")
    ('GetItem', 'RFFT')
    """
    camel = "".join(p[:1].upper() + p[1:] for p in op_name.split("_"))
    return _CLASS_NAMES.get(op_name, camel)


_OWN = "carnyx.ops"


def module_of(op_name: str) -> str:
    """The module of that class; our own, where Keras has none."""
    for module in _MODULES:
        if op_name in getattr(ops, module).__all__ and op_name not in _WITHOUT_CLASS:
            return f"keras.src.ops.{module}"
    return _OWN


def op_record(operation: OpCall, node: Node) -> tuple[dict[str, Any], list, dict]:
    """The record without its nodes, and the args and kwargs of its one call."""
    name = operation.fn.op_name
    signature = inspect.signature(operation.fn)
    bound = signature.bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    config: dict[str, Any] = {"name": operation.name}
    args, kwargs = [], {}
    for p, value in bound.arguments.items():
        kind = signature.parameters[p].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            place = kwargs if _is_called(operation.fn, p) else config
            place |= {k: registry.serialize_keras_object(v) for k, v in value.items()}
        elif not _is_called(operation.fn, p):
            config[p] = registry.serialize_keras_object(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            args += value
        else:
            args.append(value)
    class_name = class_name_of(name)
    entry = {
        "module": module_of(name),
        "class_name": class_name,
        "config": config,
        "registered_name": class_name,
    }
    return entry, args, kwargs


def op_from_record(entry: dict[str, Any]) -> Callable[..., Any] | None:
    """What makes the call that a record names, or None where it names a layer.

    Raises:
        UnknownNameError: for a class of Keras's ops that there is no op for.
    """
    module = str(entry.get("module") or "")
    if module != _OWN and not module.startswith("keras.src.ops."):
        return None
    class_name = entry["class_name"]
    known = {class_name_of(name): name for name in OPS}
    name = known.get(str(_SAME.get(class_name, class_name)))
    if name is None:
        raise UnknownNameError(
            f"Op {class_name!r} (module {module!r}) is not known."
            f"{nearest(class_name, known)}"
        )
    config = dict(entry["config"])
    label = config.pop("name", None) or entry.get("name")
    config = {k: registry.deserialize_keras_object(v) for k, v in config.items()}
    fn = OPS[name]

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = _bound(fn, args, config | kwargs)
        if any_symbolic(bound.arguments):
            return record(OpCall(fn, str(label)), bound.args, bound.kwargs)
        return fn(*bound.args, **bound.kwargs)

    return call


def _bound(fn: Any, args: tuple, named: dict[str, Any]) -> inspect.BoundArguments:
    """The constructor's and the call's arguments, as the op takes them together."""
    signature, values = inspect.signature(fn), {}
    waiting = list(args)
    for p, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            values[p], named = named, {}
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            values[p], waiting = tuple(waiting), []
        elif p in named:
            values[p] = named.pop(p)
        elif waiting and _is_called(fn, p):
            values[p] = waiting.pop(0)
    if waiting or named:
        raise GraphError(
            f"The record of op {fn.op_name!r} has arguments {waiting or sorted(named)} "
            f"that it does not take; it takes {signature}."
        )
    if isinstance(values.get("key"), list):  # JSON has no tuples
        values["key"] = tuple(values["key"])
    return inspect.BoundArguments(signature, values)  # type: ignore[arg-type]
