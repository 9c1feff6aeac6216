"""Errors of JAX, told in the words of whoever called an op or a layer.

JAX raises TypeError, IndexError or classes of its own, in words about its primitives.
An op or a layer that meets one raises an error of Carnyx instead, which names the op or
layer, what it was given, and what has to hold. What a user's own function
raised stays as it is.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.errors
import numpy as np

from carnyx._core.jax_errors import drop_footers, in_own_words
from carnyx._core.jax_sentences import own_words
from carnyx._core.scope import current
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx.errors import (
    ArgumentError,
    ArgumentTypeError,
    CarnyxError,
    DTypeError,
    OutOfMemoryError,
    ShapeError,
)

UNKNOWN = "unknown_size_"
"""What the names of JAX's symbols begin with; a message has None there."""

_Inconclusive = jax.errors.InconclusiveDimensionOperation
_OF_VALUES = jax.errors.JAXTypeError  # the value of something traced was asked for
_OF_CALLS = (
    TypeError, ValueError, IndexError, NameError, ZeroDivisionError, _Inconclusive,
)  # fmt: skip
# A number that no dtype here holds; what JAX takes for granted.
_FOREIGN = (*_OF_CALLS, OverflowError, AssertionError)
_OF_SIZES = (*_OF_CALLS, AssertionError, NotImplementedError, AttributeError)
_LIBRARIES = ("jax", "jaxlib", "numpy", "opt_einsum")
_JUDGED = "_carnyx_hopeless"
# Here functions of others are called: a missing argument is theirs to be told of.
_CALLERS = (
    "carnyx._core.", "carnyx.layers.base", "carnyx.layers._building",
    "carnyx.losses.base", "carnyx.metrics.mean", "carnyx._training.compiled",
)  # fmt: skip


# ---- what an error is ----------------------------------------------------------------


def is_hopeless(error: Exception) -> bool:
    """Whether a function that raised it in a trace of shapes fails for all sizes."""
    if not isinstance(error, _OF_SIZES) or isinstance(error, DTypeError):
        return True
    return bool(getattr(error, _JUDGED, False))


def is_judged(error: Exception) -> bool:
    """Whether there is nothing left to find out about it by trying other sizes."""
    return hasattr(error, _JUDGED) or not is_of_sizes(error)


def judge(error: Exception, hopeless: bool) -> None:
    """Note that it comes for all sizes, or not for all."""
    setattr(error, _JUDGED, hopeless)


def is_of_sizes(error: Exception) -> bool:
    """Whether sizes that do not fit may be the reason, as far as its class tells."""
    if isinstance(error, CarnyxError):
        return isinstance(error, ShapeError | ArgumentError)
    if isinstance(error, _OF_VALUES) or not isinstance(error, _OF_CALLS):
        return False
    # JAX takes its own frames away where one of our layers calls a primitive
    return isinstance(error, _Inconclusive) or _raised_in(error, "carnyx", *_LIBRARIES)


def _raised_in(error: BaseException, *packages: str) -> bool:
    """Whether the innermost line of the traceback is in one of the packages."""
    traceback, name = error.__traceback__, ""
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        traceback = traceback.tb_next
    return name.split(".")[0] in packages and not name.startswith(_CALLERS)


# ---- what is said instead ------------------------------------------------------------


def of_op(
    error: Exception, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
) -> Exception | None:
    """What an op raises instead of an error of JAX; None: it is no such error."""
    if _is_of_memory(error):
        given = _given(fn, args, kwargs)
        return _too_large(error, f"{fn.op_name} got {given}")  # type: ignore
    if not _is_foreign(error):
        return None
    wrong = _no_function(fn, args, kwargs)
    if wrong is not None:
        name = fn.op_name  # type: ignore[attr-defined]
        return ArgumentTypeError(f"{name} got {wrong}; expected a function.")
    what = f"{fn.op_name} got {_given(fn, args, kwargs)}"  # type: ignore[attr-defined]
    if type(error) is TypeError and _is_of_dtypes(fn, args, kwargs):
        return DTypeError(f"{what}, whose dtypes do not fit together.")
    return _told(error, what)


def of_layer(error: Exception, name: str, tensors: dict[str, Any]) -> Exception | None:
    """What a layer raises instead of an error of JAX; None: it is no such error."""
    given = ", ".join(_described(key, value) for key, value in tensors.items())
    if _is_of_memory(error):
        return _too_large(error, f"{name} got {given}")
    if not _is_foreign(error) and in_own_words(error) is None:
        return None
    return _told(error, f"{name} got {given}")


def _is_of_memory(error: Exception) -> bool:
    """Whether JAX could not allocate an array; it has no class for that."""
    runtime = isinstance(error, jax.errors.JaxRuntimeError)
    text = str(error)
    told = text.startswith("RESOURCE_EXHAUSTED") or "Out of memory allocating" in text
    return runtime and told


def _too_large(error: Exception, what: str) -> Exception:
    wanted = re.search(r"\d+ bytes|\d[\d.]*[KMGTP]i?B", str(error))
    size = f"an array of {wanted[0]}" if wanted else "an array"
    return OutOfMemoryError(
        f"{what}, which needs {size}, more than the device has free. Make it smaller, "
        "or use smaller batches or a smaller dtype."
    )


def _is_foreign(error: Exception) -> bool:
    ours = isinstance(error, CarnyxError) or not isinstance(error, _FOREIGN)
    return not ours and _raised_in(error, "carnyx", *_LIBRARIES)


def _told(error: Exception, what: str) -> Exception:
    clear = in_own_words(error)
    if clear is not None:
        return type(clear)(f"{what}. {clear}")
    if isinstance(error, OverflowError):
        found = re.search(r"(-?\d+) .*?(u?int\d+)", str(error))
        which = found.groups() if found else ("a number", "the integers here")
        return ArgumentError(f"{what}: {which[0]} does not fit {which[1]}.")
    return ShapeError(f"{what}, which do not fit: {own_words(sentence(error))}")


def sentence(error: Exception) -> str:
    """What an error says, in one line, with None for sizes that are not known."""
    if isinstance(error, _Inconclusive):
        return "no size was found for the unknown axes (None) that it accepts."
    lines = [line.strip() for line in str(error).splitlines()[:3]]
    text = without_symbols(" ".join(lines)).strip()
    return text if text.endswith((".", "!", "?")) else text + "."


def sizes_named_by(error: BaseException) -> list[int]:
    """The numbers in what an error says: of arrays that a function closes over, too."""
    said = without_symbols(" ".join(str(error).splitlines()[:3]))
    return [int(n) for n in re.findall(r"\b[1-9]\d{0,8}\b", said) if n != "1"]


def clean(error: BaseException) -> None:
    """Put None for the names of symbols in what an error says; drop JAX's footer."""
    error.args = tuple(
        without_symbols(a) if isinstance(a, str) else a for a in error.args
    )
    drop_footers(error)
    if hasattr(error, "__notes__"):
        error.__notes__ = [without_symbols(note) for note in error.__notes__]


_REWRITES = [
    (re.compile(rf"\b{UNKNOWN}\d+\b"), "None"),
    (re.compile(r"(\d+\*)?None(\^\d+)?(\*None(\^\d+)?)*(?!\w)"), "None"),
    (
        re.compile(r"\b(floordiv|mod|max|min)\((-?\w+, )?(- )?None(, -? ?\w+)?\)"),
        "None",
    ),
    (re.compile(r"(-?\d+ [+-] )?None( [+-] (None|\d+))+"), "None"),
    (re.compile(r"-?\d+ [+-] None"), "None"),
]


def without_symbols(text: str) -> str:
    """`text` with None for the names of symbols, and for what is computed of them.

    >>> without_symbols("(unknown_size_0, 2*unknown_size_1 + 1)")
    '(None, None)'
    """
    if UNKNOWN not in text:
        return text
    before = None
    while text != before:
        before = text
        for pattern, new in _REWRITES:
            text = pattern.sub(new, text)
    return text


# ---- what was given ------------------------------------------------------------------


def _given(fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> str:
    """The arguments by name, tensors by their dtypes and shapes."""
    try:
        named = inspect.signature(fn).bind(*args, **kwargs).arguments
    except TypeError:
        named = dict(enumerate(args)) | kwargs
    return ", ".join(_described(name, value) for name, value in named.items())


def _no_function(
    fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
) -> str | None:
    """The first argument that is to be a function and is none."""
    signature = inspect.signature(fn)
    try:
        named = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return None
    for name, value in named.items():
        wanted = str(signature.parameters[name].annotation)
        if wanted.startswith("Callable") and not callable(value):
            return _described(name, value)
    return None


def _described(name: Any, value: Any) -> str:
    if isinstance(value, list | tuple) and any(map(is_tensor, value)):
        return f"{name} [{', '.join(map(_shown, value))}]"
    return f"{name} {_shown(value)}" if is_tensor(value) else f"{name}={_shown(value)}"


def _shown(value: Any) -> str:
    if not is_tensor(value):
        text = without_symbols(repr(value))
        return text if len(text) < 60 else text[:56] + " ..."
    sizes = tuple(n if isinstance(n, int) else None for n in value.shape)
    return f"{np.dtype(value.dtype).name} {sizes}"


def is_tensor(x: Any) -> bool:
    """True for what ops and layers take as a tensor: array, variable or symbol."""
    return isinstance(x, jax.Array | np.ndarray | KerasTensor | Variable)


def _is_of_dtypes(fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether the op takes those shapes in another dtype."""
    state = current().state
    if state is not None and state.shapes_only:
        return False  # inference asks once, at its end
    fn = getattr(fn, "__wrapped__", fn)
    leaves, form = jax.tree_util.tree_flatten((args, kwargs), is_leaf=is_tensor)
    places = [i for i, leaf in enumerate(leaves) if is_tensor(leaf)]
    if not places or any(None in leaves[i].shape for i in places):
        return False

    def run(*values: Any) -> Any:
        filled = list(leaves)
        for i, value in zip(places, values, strict=True):
            filled[i] = value
        given, named = jax.tree_util.tree_unflatten(form, filled)
        return fn(*given, **named)

    return any(_accepts(run, [leaves[i] for i in places], t) for t in _DTYPES)


_DTYPES = ("float32", "int32", "bool")


def _accepts(run: Callable[..., Any], tensors: list[Any], dtype: str) -> bool:
    try:
        jax.eval_shape(run, *[jax.ShapeDtypeStruct(x.shape, dtype) for x in tensors])
    except Exception:
        return False
    return True
