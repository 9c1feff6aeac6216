"""Which value is for which input of a functional model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carnyx import tree
from carnyx.errors import ShapeError
from carnyx.typing import Tensor, Tensors


def match_inputs(
    wanted: Tensors, given: Tensors, names: Sequence[str], where: str, told: set[str]
) -> list[Any]:
    """The values for the inputs, flat, in the order of `wanted`.

    A model made of a dict takes a dict by its keys, whatever the names of its inputs; a
    model made of a list takes one by the names. What a dict has beyond that is left
    out, with a warning.

    Args:
        wanted: the inputs in the structure that the model was made of.
        names: of the inputs, flat.
        where: what the model is called in errors.
        told: the warnings that were given already, each once.

    Raises:
        ShapeError: where something is missing, or it is not clear what is for which.
    """
    if isinstance(given, Mapping) and not isinstance(wanted, Mapping):
        by_name: Any = dict.fromkeys(names)
        return [_pick(by_name, given, name, where, told) for name in names]
    return _matched(wanted, given, names, where, told)


def _matched(
    wanted: Any, given: Any, names: Sequence[str], where: str, told: set[str]
) -> list[Any]:
    if isinstance(wanted, Mapping) and isinstance(given, Mapping):
        pairs = [
            (wanted[k], _pick(wanted, given, k, where, told)) for k in sorted(wanted)
        ]
    elif _is_list(wanted) and _is_list(given) and len(wanted) == len(given):
        pairs = list(zip(wanted, given, strict=True))
    else:
        return _dealt(wanted, given, names, where, told)
    return [v for one, part in pairs for v in _matched(one, part, names, where, told)]


def _tell(message: str, told: set[str]) -> None:
    if message not in told:
        told.add(message)
        warnings.warn(message, stacklevel=2)


def _is_list(x: Any) -> bool:
    return isinstance(x, list | tuple)


def _pick(
    wanted: Mapping[str, Any], given: Mapping, key: str, where: str, told: set[str]
) -> Any:
    if key not in given:
        raise ShapeError(
            f"{where} got no input {key!r}; it got {sorted(map(str, given))}, and "
            f"takes {list(wanted)}."
        )
    extra = [k for k in given if k not in wanted]
    if extra and key == min(wanted):  # once for all keys
        _tell(
            f"{where} got the inputs {extra} beside those that it takes, "
            f"{list(wanted)}. They are not used: leave them out, or look for a "
            "misspelled name.",
            told,
        )
    return given[key]


def _dealt(
    wanted: Any, given: Any, names: Sequence[str], where: str, told: set[str]
) -> list[Any]:
    """What has another structure, in order, where that can be right."""
    values, count = tree.flatten(given), len(tree.flatten(wanted))
    if len(values) != count:
        raise ShapeError(
            f"{where} takes {len(names)} inputs {list(names)} but got "
            f"{len(values)}{'' if len(names) == count else f' for {count} of them'}. "
            "Pass them as a list in this order, or as a dict." + _meant(values, count)
        )
    for keys in _dict_keys(wanted):
        said = (
            f"{where} was made of a dict with the keys {keys} and got a "
            f"{type(given).__name__} with {len(values)} of its inputs"
        )
        if keys != sorted(keys):
            raise ShapeError(
                f"{said}; its order could be that of the dict or of the sorted keys. "
                "Pass a dict with these keys."
            )
        _tell(
            f"{said}, taken in this order. Pass a dict, so that it is clear which is "
            "which.",
            told,
        )
    return values


def _meant(values: list[Any], count: int) -> str:
    """What a list that is too long for one input may have been meant as."""
    if count > 1 or len(values) < 2:
        return ""
    alike = len({getattr(value, "shape", None) for value in values}) == 1
    return (
        " If they are samples of one input, stack them: numpy.stack(x)."
        if alike
        else " If the second are the targets, pass them as y: fit(x, y)."
    )


def _dict_keys(wanted: Any) -> Iterator[list[str]]:
    """The keys of the dicts in a structure."""
    if isinstance(wanted, Mapping):
        yield list(wanted)
        wanted = list(wanted.values())
    for inner in wanted if _is_list(wanted) else ():
        yield from _dict_keys(inner)


def warn_of_crossed_names(inputs: Tensor) -> None:
    """Say so where a dict of inputs has the name of one as the key of another."""
    if not isinstance(inputs, Mapping):
        return
    names = {key: getattr(tensor, "name", key) for key, tensor in inputs.items()}
    crossed = [key for key, name in names.items() if name != key and name in names]
    if crossed:
        key = crossed[0]
        warnings.warn(
            f"Model(inputs={{...}}) has the input named {names[key]!r} under the key "
            f"{key!r}, and {names[key]!r} is the key of another. Data is given by key; "
            f"name the input alike: Input(..., name={key!r}).",
            stacklevel=4,
        )
