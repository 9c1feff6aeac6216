"""Which array of a file is which weight of a model, in files that go by layer.

Such a file lists the weights of a layer, or of a whole model inside the model, those
first that were trainable when it was saved. So what was frozen then, or is now, changes
the order, and the order alone may give a layer the weights of another one. Names decide
where they match, the place of each weight in the model where the file has it (ours do),
and the order only where it can mean one thing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from carnyx._core.naming import to_snake_case
from carnyx._core.variable import Variable
from carnyx.layers._children import own_variables
from carnyx.layers.base import Layer
from carnyx.saving.description import Group

Path = tuple[str, ...]
Pairing = list[int]  # for each weight, in the model's order, the place of its array

# Keras 1 joined layer and weight: dense_2_W, cls_W_i. Keras 3.0 wrote moving_mean,
# without a layer.
_OLDEST = re.compile(
    r"(.*_\d+)_([^\d].*)|(.+?)_((?:[WUb]|gamma|beta|running_\w+)(?:_\w+)?)"
)


@dataclass
class Block:
    """The weights of one layer inside: its path, their names, shapes and places."""

    path: Path
    names: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def add(self, name: str, shape: Sequence[Any], place: int) -> None:
        self.names.append(name)
        self.shapes.append(tuple(shape))
        self.places.append(place)


def weights_in_order(layer: Layer) -> list[tuple[int, Variable]]:
    """Each weight with the number of the layer that owns it, whatever is trainable."""
    found: dict[int, tuple[int, Variable]] = {}
    for number, part in enumerate(layer._flatten_layers()):
        for variable in own_variables(part):
            found.setdefault(id(variable), (number, variable))
    return list(found.values())


def pairings(weights: list[tuple[int, Variable]], group: Group) -> Iterator[Pairing]:
    """What may be meant, the most certain first; nothing where it cannot be told."""
    mine, theirs = _blocks_of_model(weights), _blocks_of_file(group)
    yield from _paired(mine, theirs, lambda paths: paths)
    if group.places is not None:
        if sorted(group.places) == list(range(len(weights))):
            order = {place: index for index, place in enumerate(group.places)}
            yield [order[i] for i in range(len(weights))]
        return
    for pairing in _paired(mine, theirs, _ranked):
        if _is_trainable_first(pairing):
            yield pairing
    yield from _by_shapes(mine, theirs)


def by_name(weights: list[tuple[int, Variable]], group: Group) -> dict[int, int]:
    """The pairs whose names are the same, of weights and arrays that do not all fit."""
    mine = [_parts(v.path) for _, v in weights]
    theirs = [_parts(name) for name in group.arrays]
    for depth in (2, 1):
        ours, other = ([p[-depth:] for p in paths] for paths in (mine, theirs))
        once = [name for name, count in Counter(other).items() if count == 1]
        pairs = {
            i: other.index(name)
            for i, name in enumerate(ours)
            if name in once and ours.count(name) == 1
        }
        if pairs:
            return pairs
    return {}


# ---- blocks ------------------------------------------------------------------


def _parts(name: str) -> Path:
    """`("dense_1", "kernel")` of any age's name for a weight."""
    *path, last = name.split(":")[0].split("/")
    if not path and (old := _OLDEST.fullmatch(last)):
        return tuple(part for part in old.groups() if part is not None)
    return (*path, last)


def _blocks_of_model(weights: list[tuple[int, Variable]]) -> list[Block]:
    blocks: dict[int, Block] = {}
    for place, (owner, variable) in enumerate(weights):
        *path, name = _parts(variable.path)
        block = blocks.setdefault(owner, Block(tuple(path)))
        block.add(name, variable.shape, place)
    return list(blocks.values())


def _blocks_of_file(group: Group) -> list[Block]:
    blocks: dict[Path, Block] = {}
    for place, (label, array) in enumerate(group.arrays.items()):
        *path, name = _parts(label)
        block = blocks.setdefault(tuple(path), Block(tuple(path)))
        block.add(name, array.shape, place)
    return list(blocks.values())


def _paired(
    mine: list[Block],
    theirs: list[Block],
    form: Callable[[list[Path]], list[Path]],
) -> Iterator[Pairing]:
    """By the ends of the paths: what contains a model may have another name."""
    deepest = max((len(b.path) for b in (*mine, *theirs)), default=0)
    for depth in range(deepest + 1):
        ours, other = (
            form(
                [b.path[len(b.path) - depth if depth < len(b.path) else 0 :] for b in x]
            )
            for x in (mine, theirs)
        )
        if len(set(ours)) == len(ours) and sorted(ours) == sorted(other):
            places = {path: block for path, block in zip(other, theirs, strict=True)}
            pairing = _inside([(b, places[p]) for b, p in zip(mine, ours, strict=True)])
            if pairing is not None:
                yield pairing
                return


def _inside(pairs: list[tuple[Block, Block]]) -> Pairing | None:
    """Weights of one layer: by their names, else in order, which no flag changes."""
    found: dict[int, int] = {}
    for mine, theirs in pairs:
        if len(mine.names) != len(theirs.names):
            return None
        named = dict(zip(theirs.names, theirs.places, strict=True))
        same = len(named) == len(mine.names) and set(named) == set(mine.names)
        found |= zip(
            mine.places, [named[n] for n in mine.names] if same else theirs.places
        )
    return [found[i] for i in range(len(found))]


def _ranked(paths: list[Path]) -> list[Path]:
    """Paths with numbers from 0 on: `dense_7`, `dense_9` are the first and second."""
    forms: dict[Path, Path] = {(): ()}
    for depth in range(max(map(len, paths), default=0)):
        numbers: dict[Path, set[tuple[int, str]]] = {}
        for path in (p for p in paths if len(p) > depth):
            base, number = _split(path[depth])
            kind = (*forms[path[:depth]], base)
            numbers.setdefault(kind, set()).add((number, path[depth]))
        for path in (p for p in paths if len(p) > depth):
            base, number = _split(path[depth])
            kind = (*forms[path[:depth]], base)
            rank = sorted(numbers[kind]).index((number, path[depth]))
            forms[path[: depth + 1]] = (*kind, str(rank))
    return [forms[path] for path in paths]


def _split(name: str) -> tuple[str, int]:
    """`("dense", 3)` of `dense_3`; Keras 1 wrote `batchnormalization_3`."""
    base, _, number = name.rpartition("_")
    if not base or not number.isdecimal() or len(number) > 9:
        base, number = name, "-1"
    return base.replace("_", "").lower(), int(number)


def _is_trainable_first(pairing: Pairing) -> bool:
    """Whether some weights being frozen explains the order of the file."""
    order = sorted(range(len(pairing)), key=pairing.__getitem__)
    return sum(a > b for a, b in zip(order, order[1:])) <= 1


def _by_shapes(mine: list[Block], theirs: list[Block]) -> Iterator[Pairing]:
    """Where no two layers have the same shapes, or there is only one."""
    ours, other = ([tuple(b.shapes) for b in x] for x in (mine, theirs))
    if len(set(ours)) == len(ours) and sorted(ours) == sorted(other):
        blocks = dict(zip(other, theirs, strict=True))
        pairs = [(b, blocks[s]) for b, s in zip(mine, ours, strict=True)]
        pairing = _inside(pairs)
        if pairing is not None:
            yield pairing


# ---- layers of the model -----------------------------------------------------


def layer_pairings(layers: list[Any], groups: list[Group]) -> Iterator[list[Group]]:
    """For each layer the group of the file, as it may be meant.

    By name, where all names are the same. Else a name that somebody chose counts, and
    what is numbered by itself goes in order, which here no flag changes.
    """
    named = {group.name: group for group in groups}
    names = [layer.name for layer in layers]
    if len(named) == len(groups) and set(named) == set(names):
        yield [named[name] for name in names]
    chosen = {n for n, x in zip(names, layers) if n in named and not _is_numbered(x)}
    rest = iter([group for group in groups if group.name not in chosen])
    if len(named) == len(groups) and len(set(names)) == len(names):
        yield [named[n] if n in chosen else next(rest) for n in names]
    yield groups


def _is_numbered(layer: Any) -> bool:
    base = re.escape(to_snake_case(type(layer).__name__))
    return re.fullmatch(rf"{base}(_\d+)?", layer.name) is not None
