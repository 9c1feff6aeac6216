"""One call of a layer: its arguments, bound once to the parameters of `call`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from carnyx import tree
from carnyx._core.explain import is_tensor
from carnyx._core.masks import get_mask
from carnyx._spellings import hint
from carnyx.errors import ArgumentError
from carnyx.layers.input_spec import label, static_shape
from carnyx.typing import Tensor

F = TypeVar("F", bound=Callable[..., Any])


class Signature(NamedTuple):
    """The parameters of a function, without `self`."""

    names: tuple[str, ...]
    positional: tuple[str, ...]
    required: tuple[str, ...]
    defaults: dict[str, Any]
    variadic: str | None  # the name of *args
    keywords: str | None  # the name of **kwargs

    def takes(self, name: str) -> bool:
        return name in self.names


@functools.cache
def signature_of(fn: Callable[..., Any]) -> Signature:
    """The signature of a plain function (not a bound method), read once."""
    parameters = list(inspect.signature(fn).parameters.values())[1:]
    open_ended = {p.kind: p.name for p in parameters}
    plain = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return Signature(
        tuple(p.name for p in plain),
        tuple(p.name for p in plain if p.kind is not p.KEYWORD_ONLY),
        tuple(p.name for p in plain if p.default is p.empty),
        {p.name: p.default for p in plain if p.default is not p.empty},
        open_ended.get(inspect.Parameter.VAR_POSITIONAL),
        open_ended.get(inspect.Parameter.VAR_KEYWORD),
    )


class Call:
    """What a layer was called with.

    Attributes:
        args, kwargs: for the layer's `call`; `training` is not among them where `call`
            does not take it.
        given: the keywords as the caller wrote them.
        named: the arguments by parameter, those given; `*args` as one tuple, further
            keywords as one dict.
        tensors: those of `named` that are tensors, or nests of nothing but tensors;
            the `mask` is not among them.
        first: the first argument, which input specs and masks are about.

    Raises:
        TypeError: for arguments that `call` does not take, or lacks.
        ArgumentError: for tensors and other things in one nested argument.
    """

    __slots__ = (
        "args", "first", "given", "kwargs", "named", "signature", "tensors", "training",
    )  # fmt: skip

    def __init__(self, layer: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        self.signature = signature = signature_of(type(layer).call)
        self.args, self.given = args, kwargs
        self.training = None
        if "training" in kwargs and "training" not in signature.names:
            kwargs = dict(kwargs)
            self.training = kwargs.pop("training")
        self.kwargs = kwargs
        self.named = _bound(signature, layer, args, kwargs)
        self.training = self.named.get("training", self.training)
        self.tensors = {
            name: value
            for name, value in self.named.items()
            if name != "mask" and _all_tensors(value, name, layer)
        }
        self.first = next(iter(self.named.values()), None)

    def implicit_masks(self) -> dict[str, Any]:
        """The masks of tensors that `call` asks for by name and was not given."""
        found = {}
        for position, (name, value) in enumerate(self.tensors.items()):
            wanted = f"{name}_mask"
            if position == 0 and not self.signature.takes(wanted):
                wanted = "mask"
            if self.signature.takes(wanted) and self.named.get(wanted) is None:
                masks = masks_of(value)
                if any(m is not None for m in tree.flatten(masks)):
                    found[wanted] = masks
        return found

    def with_keywords(self, more: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """`args` and `kwargs` for `call`, with these in their places."""
        if not more:
            return self.args, self.kwargs
        places = self.signature.positional[: len(self.args)]
        args = self.args
        if not set(places).isdisjoint(more):
            args = tuple(more.pop(n, a) for n, a in zip(places, args, strict=True))
        return args, self.kwargs | more

    def __str__(self) -> str:
        """Tensor arguments as `float32[2, 9]`, for error notes."""
        parts = [
            described(value)
            for name, value in self.tensors.items()
            if not name.endswith("_mask")
        ]
        if not parts and self.named:
            return f"{type(self.first).__name__} {str(self.first)[:40]}"
        return ", ".join(parts)


def _bound(
    signature: Signature, layer: Any, args: tuple, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Arguments by parameter, those given."""
    places = signature.positional
    named = dict(zip(places, args, strict=False))
    if len(args) > len(places):
        if signature.variadic is None:
            raise TypeError(
                f"{label(layer)} takes {len(places)} arguments ({', '.join(places)}) "
                f"but got {len(args)}."
            )
        named[signature.variadic] = args[len(places) :]
    further = {}
    for name, value in kwargs.items():
        if name not in signature.names:
            further[name] = value
        elif name in named:
            raise TypeError(f"{label(layer)} got {name!r} twice.")
        else:
            named[name] = value
    if further:
        if signature.keywords is None:
            name, known = next(iter(further)), ", ".join(signature.names)
            raise TypeError(
                f"{label(layer)} got an unknown argument {name!r} in a call; its "
                f"call() takes {known}.{hint(name, signature.names)}"
            )
        named[signature.keywords] = further
    for name in signature.required:
        if name not in named:
            raise TypeError(f"{label(layer)} was called without {name!r}.")
    return named


def _all_tensors(value: Any, name: str, layer: Any) -> bool:
    """True for a tensor, and for a nest of nothing but tensors and None."""
    if is_tensor(value):
        return True
    if value is None or isinstance(value, bool | int | float | str):
        return False
    leaves = [v for v in tree.flatten(value) if v is not None]
    others = [v for v in leaves if not is_tensor(v)]
    if others and len(others) < len(leaves):
        raise ArgumentError(
            f"{label(layer)} got {name!r} with tensors and {others[0]!r} in it; an "
            "argument holds tensors or other things, not both. Make it an array, "
            "np.array(...), or an argument of its own."
        )
    return bool(leaves) and not others


def check_tensors(inputs: Tensor, layer: Any) -> None:
    """Raise ArgumentError where Python's numbers or text stand in a tensor's place."""
    if is_tensor(inputs) or inputs is None:
        return
    wrong = [v for v in tree.flatten(inputs) if isinstance(v, _PLAIN)]
    if wrong:
        got = type(inputs).__name__
        kind = (
            f"a {got} of {type(wrong[0]).__name__}" if wrong[0] is not inputs else got
        )
        raise ArgumentError(
            f"{label(layer)} got {kind} ({str(inputs)[:40]}) as its input; expected an "
            "array. Make it one: np.array(inputs)."
        )


_PLAIN = (bool, int, float, complex, str, bytes)


def shape_arguments(
    method: Callable[..., Any], tensors: dict[str, Any], layer: Any
) -> dict[str, Any]:
    """What `build` or `compute_output_shape` is called with, for these arguments.

    One parameter gets the shape of the first tensor, whatever its name; several are
    named after parameters of `call`: `query_shape`, `value_shape`.

    Raises:
        ArgumentError: for a parameter that is named after nothing.
    """
    names, called = signature_of(method).names, signature_of(type(layer).call).names
    shapes = {name: shapes_of(value) for name, value in tensors.items()}
    if len(names) == 1:
        return {names[0]: next(iter(shapes.values()), None)}
    for name in names:
        argument = name.removesuffix("_shape")
        if argument == name or argument not in called:
            known = ", ".join(f"{n}_shape" for n in called)
            raise ArgumentError(
                f"{label(layer)}: {method.__name__}() has a parameter {name!r}, but "
                f"where it has several they are named after those of call(): {known}."
            )
    required = signature_of(method).required
    found = {name: shapes.get(name.removesuffix("_shape")) for name in names}
    return {n: s for n, s in found.items() if s is not None or n in required}


_KERAS2 = "name shape dtype initializer regularizer trainable constraint".split()


def keras2_order(add_weight: F) -> F:
    """Let a name as first positional argument mean the order of Keras 2."""

    @functools.wraps(add_weight)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], str):
            kwargs |= dict(zip(_KERAS2, args, strict=False))
            args = ()
        return add_weight(self, *args, **kwargs)

    return cast(F, call)


def masks_of(structure: object) -> Any:
    """The masks of nested tensors, in the same structure."""
    return tree.map_structure(get_mask, structure)


def shapes_of(structure: object) -> Any:
    """The static shapes of nested tensors: a tuple, or nests of tuples."""
    if isinstance(structure, dict):
        return {k: shapes_of(v) for k, v in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(shapes_of(v) for v in structure)
    return None if structure is None else static_shape(structure)


def described(value: Any) -> str:
    """A tensor as `float32[2, 9]`, several in brackets.

    >>> from carnyx import KerasTensor
    >>> described([KerasTensor((None, 9)), None])
    '[float32[?, 9], None]'
    """
    if value is None:
        return "None"
    if is_tensor(value):
        sizes = ", ".join("?" if d is None else str(d) for d in static_shape(value))
        return f"{value.dtype}[{sizes}]"
    return f"[{', '.join(described(leaf) for leaf in tree.flatten(value))}]"
