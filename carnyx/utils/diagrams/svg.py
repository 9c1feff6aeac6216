"""A picture as SVG text."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from carnyx.utils.diagrams.layout import LINE, TITLE, Picture, Placed

MARGIN = 12.0
FONT = "Helvetica, Arial, sans-serif"
DARK, LIGHT, FRAME = "#1f3b57", "#f6f8fa", "#8aa0b4"


def svg_of(picture: Picture, dpi: float = 96) -> str:
    """The whole document; `dpi` scales it, 96 pixels to an inch being its own size."""
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    scale = dpi / 96
    body = "\n".join(_drawn(picture, MARGIN, MARGIN))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width * scale:.0f}" '
        f'height="{height * scale:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="{FONT}" font-size="12">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{DARK}"/>'
        "</marker></defs>\n"
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _drawn(picture: Picture, left: float, top: float) -> Iterator[str]:
    for points in picture.arrows:
        text = " ".join(f"{x + left:.1f},{y + top:.1f}" for x, y in points)
        yield (
            f'<polyline points="{text}" fill="none" stroke="{DARK}" '
            'marker-end="url(#tip)"/>'
        )
    for place in picture.places:
        yield from _box(place, left, top)


def _box(place: Placed, left: float, top: float) -> Iterator[str]:
    box = place.box
    if box is None:
        return
    x, y = place.x + left, place.y + top
    frame = f'x="{x:.1f}" y="{y:.1f}" width="{place.width:.1f}"'
    yield (
        f'<rect {frame} height="{place.height:.1f}" rx="4" fill="{LIGHT}" '
        f'stroke="{FRAME}"/>'
    )
    yield f'<rect {frame} height="{TITLE:.1f}" rx="4" fill="{DARK}"/>'
    middle = x + place.width / 2
    yield _text(box.title, middle, y + LINE - 1, "white", ' font-weight="bold"')
    for i, cell in enumerate(box.cells, 1):
        yield _text(cell, middle, y + i * LINE + TITLE - 5, DARK, "")
    if place.inner is not None:
        inner_left, inner_top = place.inside(place.inner)
        yield from _drawn(place.inner, left + inner_left, top + inner_top)


def _text(text: str, x: float, y: float, colour: str, more: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{colour}"{more}>'
        f"{escape(text)}</text>"
    )
