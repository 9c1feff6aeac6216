"""Losses and metrics for each output: by key, by name, by position, or one for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from carnyx import tree
from carnyx.errors import ArgumentError, DataError, UnknownKeyError, nearest
from carnyx.typing import Tensor, Tensors


class Output(NamedTuple):
    """One output.

    Attributes:
        path: the key or index of each step down to it.
        key: by what a dict says something for it: the key that the model gives it
            under, for a list or a single output the name of the layer behind it.
        label: what its losses and metrics are called in the logs; None where only its
            place tells it from others.
        has_loss: whether training needs a target for it.
    """

    path: tuple[Any, ...]
    key: Any
    label: str | None
    has_loss: bool = True

    @property
    def name(self) -> str:
        """How errors call it."""
        return "/".join(map(str, self.path)) if self.label is None else self.label


def list_outputs(y_pred: Tensor, names: Sequence[str] | None = None) -> list[Output]:
    """The outputs of a model in order.

    Keys of a dict win over the names of layers, which stand for places in a list: a
    layer may well be called as another output's key.
    """
    paths = [path for path, _ in tree.flatten_with_path(y_pred)]
    known: Sequence[Any] = names or ()
    if len(known) != len(paths):
        known = [None] * len(paths)
    if paths == [()]:
        name = next(iter(known)) or "output"
        return [Output((), name, name)]
    return [_output(y_pred, p, n) for p, n in zip(paths, known, strict=True)]


def _output(y_pred: Any, path: tuple[Any, ...], name: str | None) -> Output:
    for key in path[:-1]:
        y_pred = y_pred[key] if isinstance(y_pred, Mapping | Sequence) else {}
    last = path[-1] if isinstance(y_pred, Mapping) or name is None else name
    if len(path) > 1:
        return Output(path, None, "/".join(map(str, (*path[:-1], last))))
    is_place = isinstance(last, int) and not isinstance(y_pred, Mapping)
    return Output(path, last, None if is_place else str(last))


def spread(
    given: object,
    outputs: Sequence[Output],
    *,
    what: str,
    is_leaf: Callable[[Any], bool],
    shared: bool = True,
) -> dict[Output, Any]:
    """What was given for each output, in the order in which it was given.

    Args:
        given: a dict by key, a list by place, or one value for all.
        is_leaf: says that a value is meant for one output.
        shared: whether a single value stands for every output.

    Raises:
        UnknownKeyError: for a key that no output has.
        ArgumentError: for a number that does not fit the outputs.
    """
    if given is None:
        return dict.fromkeys(outputs)
    if is_leaf(given):
        if len(outputs) == 1 or shared:
            return dict.fromkeys(outputs, given)
        raise ArgumentError(
            f"{what} got one value for {len(outputs)} outputs {_names(outputs)}; give "
            "a list or a dict by name."
        )
    if isinstance(given, Mapping):
        return _by_key(given, outputs, what)
    if not isinstance(given, list | tuple):
        raise ArgumentError(
            f"{what} got {given!r}; expected one for all outputs, a list of them or a "
            f"dict by name, for {_names(outputs)}."
        )
    flat = list(given) if len(given) == len(outputs) else tree.flatten(given)
    if len(flat) == len(outputs):
        return dict(zip(outputs, flat, strict=True))
    raise ArgumentError(
        f"{what} has {len(given)} entries for {len(outputs)} outputs {_names(outputs)}."
    )


def _names(outputs: Sequence[Output]) -> list[str]:
    return [o.name for o in outputs]


def _by_key(
    given: Mapping[Any, Any], outputs: Sequence[Output], what: str
) -> dict[Output, Any]:
    """The entries of a dict, which may be nested as the outputs are."""
    places = {o.path: o for o in outputs}
    starts = {o.path[:n] for o in outputs for n in range(len(o.path))}
    found: dict[Output, Any] = {}

    def visit(value: Any, path: tuple[Any, ...]) -> None:
        if path in places:
            found[places[path]] = value
        elif path not in starts:
            raise UnknownKeyError(_unknown_key(path, outputs, what))
        elif isinstance(value, Mapping | list | tuple):
            inner = value if isinstance(value, Mapping) else dict(enumerate(value))
            for key, one in inner.items():
                visit(one, (*path, key))
        elif value is not None:
            raise ArgumentError(
                f"{what} has {value!r} for {'/'.join(map(str, path))!r}, under which "
                f"there are several of the outputs {_names(outputs)}; give each its "
                "own, in the structure of the outputs."
            )

    for key, value in given.items():
        own = [o for o in outputs if o.key is not None and o.key == key]
        found |= dict.fromkeys(own, value)
        if not own:
            visit(value, (key,))
    return found


def _unknown_key(path: tuple[Any, ...], outputs: Sequence[Output], what: str) -> str:
    key = path[0] if len(path) == 1 else "/".join(map(str, path))
    names = _names(outputs)
    return (
        f"{what} has the key {key!r}, but the outputs are {names}.{nearest(key, names)}"
    )


def match_targets(
    y: Tensors, outputs: Sequence[Output], *, what: str, shared: bool = False
) -> list[Any]:
    """The target (or sample weight) of each output, flat.

    Outputs without a loss need none.

    Raises:
        DataError: where they do not fit the outputs.
    """
    if y is None:
        return [None] * len(outputs)
    if isinstance(y, Mapping):
        try:
            found = _by_key(y, outputs, what)
        except (ArgumentError, UnknownKeyError) as error:
            raise DataError(str(error)) from None
        return [found.get(o) for o in outputs]
    leaves = tree.flatten(y)
    if len(leaves) == len(outputs):
        return leaves
    if len(leaves) == 1 and shared:
        return leaves * len(outputs)
    if len(leaves) == sum(o.has_loss for o in outputs):
        left = iter(leaves)
        return [next(left) if o.has_loss else None for o in outputs]
    raise DataError(
        f"{what} has {len(leaves)} arrays but the model has {len(outputs)} outputs "
        f"{_names(outputs)}. Give one for each, as a list in that order or "
        "a dict by name (None for an output without a loss)."
    )


def trimmed(batch: tuple[Any, Any, Any]) -> tuple[Any, ...]:
    """`(x, y, sample_weight)` without the parts that were not given, as in Keras."""
    x, y, sample_weight = batch
    if sample_weight is not None:
        return x, y, sample_weight
    return (x,) if y is None else (x, y)
