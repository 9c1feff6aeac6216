"""Errors of JAX in the words of somebody who writes layers.

While a step is compiled, tensors have shapes and dtypes but no values. Code that asks
for a value fails with an error about JAX's inside; here it says what asks, and what to
write in its place.
"""

from __future__ import annotations

import re

from jax import errors

from carnyx.errors import NoValueError

_WHEN = (
    "a layer, loss or step is compiled: it runs once on tensors that have a shape and "
    "a dtype, and no values yet"
)
_DEBUG = "With compile(run_eagerly=True) every step runs in Python, for debugging."

# what asks for a value -> what to write in its place; the first that fits is taken
_ASKED: tuple[tuple[type[Exception], str, str], ...] = (
    (
        errors.TracerBoolConversionError,
        "`if`, `while`, `and`, `or` or bool() asks for the value of a tensor",
        "Use ops.where or ops.cond in place of `if`, ops.while_loop of `while`, "
        "ops.logical_and of `and`; ask for shapes and Python numbers freely.",
    ),
    (
        errors.TracerArrayConversionError,
        "NumPy asks for the values of a tensor",
        "Use the function of the same name in keras.ops.",
    ),
    (
        errors.NonConcreteBooleanIndexError,
        "a tensor of True and False is used as an index, so that the size of the "
        "result depends on values",
        "Use ops.where(condition, x, 0), or multiply by the condition.",
    ),
    (
        errors.ConcretizationTypeError,
        "int(), float(), item(), a shape or an argument that has to be a Python number "
        "asks for the value of a tensor",
        "Compute with the tensor itself, by keras.ops; a size has to be known.",
    ),
)
_NO_ATTRIBUTE = re.compile(
    r"\w*(?:Tracer|ArrayImpl)\w*'?(?: object)? has no attribute '?(\w+)"
)
_NOT_A_TENSOR = re.compile(
    r"returned a value of type <class '([\w.]+)'>,? .*which is not a valid JAX type"
)
_DRAWN = re.compile(r"created on line [^\n]*\(SeedGenerator\.next\)")
_FOOTER = "JAX_TRACEBACK_FILTERING"


def in_own_words(error: Exception) -> Exception | None:
    """Another error to raise in place of one of JAX's, or None to keep it."""
    for kind, what, instead in _ASKED:
        if isinstance(error, kind):
            return NoValueError(f"{_sentence(what)} while {_WHEN}. {instead} {_DEBUG}")
    if isinstance(error, errors.UnexpectedTracerError):
        if _DRAWN.search(str(error)):
            return NoValueError(
                "Random numbers are drawn, by a layer such as Dropout or by "
                "keras.random, inside a function that JAX traces by itself "
                "(jax.checkpoint, jax.jit, cond, scan, ops.map, …): every turn would "
                "give the same numbers. Draw them outside of it and pass them in, or "
                "pass seed=, a key for each turn. keras.remat and RematScope do what "
                "jax.checkpoint does, random layers included."
            )
        return NoValueError(
            "A tensor was kept (in an attribute, a list, a global) while "
            f"{_WHEN}, and used after that. Return it, or keep it in a weight: "
            "self.add_weight in build(), then assign."
        )
    if "JAX arrays are immutable" in str(error):
        return NoValueError(
            "A tensor cannot be changed in place (x[i] = y). Make a new one: x = "
            "x.at[i].set(y), ops.slice_update or ops.scatter_update, ops.where."
        )
    wrong = _NOT_A_TENSOR.search(str(error))
    if isinstance(error, TypeError) and wrong:
        return NoValueError(
            f"A layer or function that is compiled returned a {wrong[1]}; expected "
            "tensors, or nested lists and dicts of them."
        )
    missing = _NO_ATTRIBUTE.search(str(error))
    if isinstance(error, AttributeError) and missing:
        return AttributeError(
            f"A tensor has no attribute {missing[1]!r} here. Its values can be read "
            f"outside of the model only (ops.convert_to_numpy); while {_WHEN}."
        )
    return None


def _sentence(words: str) -> str:
    return words if words.startswith("int()") else words[0].upper() + words[1:]


def drop_footers(error: BaseException | None) -> None:
    """Take JAX's notes on how it filters tracebacks off an error and its causes."""
    while error is not None:
        notes = getattr(error, "__notes__", None)
        if notes:
            notes[:] = [note for note in notes if _FOOTER not in note]
        error = error.__cause__ or error.__context__
