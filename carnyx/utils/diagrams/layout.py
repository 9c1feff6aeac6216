"""Where the boxes of a diagram lie: in layers, with few crossings of arrows.

References: Sugiyama, Tagawa, Toda 1981, doi:10.1109/TSMC.1981.4308636
"""

from __future__ import annotations

from dataclasses import dataclass, field

from carnyx.utils.diagrams.boxes import Box, Diagram

LINE, CHARACTER, PAD = 16.0, 6.8, 10.0  # pixels of text at 12 pixels a letter
TITLE = LINE + PAD / 2  # height of the first line, which has a ground of its own
GAP, STEP = 24.0, 34.0  # between neighbours, between layers
_SWEEPS = 6


@dataclass(eq=False)
class Placed:
    """A box with its corner and size; without a box, the bend of a long arrow."""

    box: Box | None
    rank: int
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    inner: Picture | None = None

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    def inside(self, picture: Picture) -> tuple[float, float]:
        """The corner of the picture within the box, below its lines."""
        cells = len(self.box.cells) if self.box else 0
        top = self.y + TITLE + cells * LINE + PAD / 2
        return self.middle - picture.width / 2, top


@dataclass(eq=False)
class Picture:
    """Placed boxes, arrows as lines of points, and the size of it all."""

    places: list[Placed] = field(default_factory=list)
    arrows: list[list[tuple[float, float]]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def picture_of(diagram: Diagram, sideways: bool = False) -> Picture:
    """The diagram from top to bottom, or from left to right."""
    places = {box: _sized(box, sideways) for box in diagram.boxes}
    _rank(places, diagram.arrows)
    rows: list[list[Placed]] = [[] for _ in range(1 + _last(places))]
    for place in places.values():
        rows[place.rank].append(place)
    chains = [_chain(places[a], places[b], rows) for a, b in diagram.arrows]
    _order(rows, chains)
    picture = _set_out(rows, chains, sideways)
    picture.places = list(places.values())
    return picture


def _last(places: dict[Box, Placed]) -> int:
    return max((place.rank for place in places.values()), default=-1)


def _sized(box: Box, sideways: bool) -> Placed:
    lines = [box.title, *box.cells]
    width = max(map(len, lines)) * CHARACTER + 2 * PAD
    height = len(lines) * LINE + PAD
    inner = None
    if box.inner is not None and box.inner.boxes:
        inner = picture_of(box.inner, sideways)
        width = max(width, inner.width + 2 * PAD)
        height += inner.height + PAD
    return Placed(box, 0, width, height, inner=inner)


def _rank(places: dict[Box, Placed], arrows: list[tuple[Box, Box]]) -> None:
    """Every box below those that lead to it; a shared layer may close a circle, which
    is cut where it is met again."""
    before: dict[Box, list[Box]] = {box: [] for box in places}
    for a, b in arrows:
        if a is not b:
            before[b].append(a)
    done: set[Box] = set()
    for start in places:
        stack: list[tuple[Box, bool]] = [(start, False)]
        open_: set[Box] = set()
        while stack:
            box, ready = stack.pop()
            if ready:
                ranks = [places[a].rank + 1 for a in before[box] if a in done]
                places[box].rank = max(ranks, default=0)
                done.add(box)
            elif box not in done and box not in open_:
                open_.add(box)
                stack.append((box, True))
                stack += [(a, False) for a in before[box] if a not in done]


def _chain(start: Placed, end: Placed, rows: list[list[Placed]]) -> list[Placed]:
    """The way of an arrow, with a bend in every layer that it passes."""
    bends = [Placed(None, rank) for rank in range(start.rank + 1, end.rank)]
    for bend in bends:
        rows[bend.rank].append(bend)
    return [start, *bends, end]


def _order(rows: list[list[Placed]], chains: list[list[Placed]]) -> None:
    """Neighbours in the order of the middle of what they are connected to."""
    above: dict[Placed, list[Placed]] = {}
    below: dict[Placed, list[Placed]] = {}
    for chain in chains:
        for a, b in zip(chain, chain[1:]):
            above.setdefault(b, []).append(a)
            below.setdefault(a, []).append(b)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near, walk = (above, rows) if down else (below, rows[::-1])
        place = {p: float(i) for row in rows for i, p in enumerate(row)}
        for row in walk:
            row.sort(key=lambda p: _mean([place[q] for q in near.get(p, [p])]))
            place.update({p: float(i) for i, p in enumerate(row)})


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def _set_out(
    rows: list[list[Placed]], chains: list[list[Placed]], sideways: bool
) -> Picture:
    """Rows one under the other, each in the middle; sideways they are columns."""
    across = [
        sum(_breadth(p, sideways) for p in row) + GAP * (len(row) - 1) for row in rows
    ]
    widest, along = max(across, default=0.0), 0.0
    for row, breadth in zip(rows, across):
        at, depth = (widest - breadth) / 2, max(_depth(p, sideways) for p in row)
        for place in row:
            if place.box is None:  # an arrow passes by the whole layer
                place.width, place.height = (depth, 0.0) if sideways else (0.0, depth)
            lag = (depth - _depth(place, sideways)) / 2
            place.x, place.y = (along + lag, at) if sideways else (at, along + lag)
            at += _breadth(place, sideways) + GAP
        along += depth + STEP
    along = max(along - STEP, 0.0)
    size = (along, widest) if sideways else (widest, along)
    return Picture([], [_points(chain, sideways) for chain in chains], *size)


def _breadth(place: Placed, sideways: bool) -> float:
    return place.height if sideways else place.width


def _depth(place: Placed, sideways: bool) -> float:
    return place.width if sideways else place.height


def _points(chain: list[Placed], sideways: bool) -> list[tuple[float, float]]:
    def edge(place: Placed, leaves: bool) -> tuple[float, float]:
        if sideways:
            return place.x + leaves * place.width, place.y + place.height / 2
        return place.middle, place.y + leaves * place.height

    points = [edge(chain[0], True)]
    for bend in chain[1:-1]:
        points += [edge(bend, False), edge(bend, True)]
    return [*points, edge(chain[-1], False)]
