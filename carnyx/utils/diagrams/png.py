"""A picture as PNG, JPEG or PDF, drawn by Matplotlib where there is no Graphviz."""

from __future__ import annotations

import io
from typing import Any

from carnyx.utils.diagrams.layout import LINE, TITLE, Picture, Placed
from carnyx.utils.diagrams.svg import DARK, FRAME, LIGHT, MARGIN

_PIXELS = 72  # of the layout to an inch: a letter of 12 has 12 points


def drawn_by_matplotlib(picture: Picture, format: str, dpi: float) -> bytes:
    """The bytes of a picture file.

    Raises:
        ImportError: where Matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"A picture as {format!r} needs Graphviz or Matplotlib: pip install "
            "'carnyx[plot]'. Or name a file that ends in .svg, which needs neither."
        ) from error
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    figure = Figure((width / _PIXELS, height / _PIXELS))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    _draw(axes, picture, MARGIN, MARGIN)
    file = io.BytesIO()
    figure.savefig(file, format=format, dpi=dpi, facecolor="white")
    return file.getvalue()


def _draw(axes: Any, picture: Picture, left: float, top: float) -> None:
    for points in picture.arrows:
        xs, ys = ([p[i] + shift for p in points] for i, shift in ((0, left), (1, top)))
        axes.plot(xs, ys, color=DARK, linewidth=1)
        tip = {"arrowstyle": "-|>", "color": DARK, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (xs[-1], ys[-1]), (xs[-2], ys[-2]), arrowprops=tip)
    for place in picture.places:
        _draw_box(axes, place, left, top)


def _draw_box(axes: Any, place: Placed, left: float, top: float) -> None:
    from matplotlib.patches import Rectangle

    box = place.box
    if box is None:
        return
    x, y = place.x + left, place.y + top
    size = place.width, place.height
    axes.add_patch(Rectangle((x, y), *size, facecolor=LIGHT, edgecolor=FRAME))
    axes.add_patch(Rectangle((x, y), place.width, TITLE, facecolor=DARK))
    middle, style = x + place.width / 2, {"ha": "center", "va": "center"}
    axes.text(middle, y + TITLE / 2, box.title, color="white", fontsize=10, **style)
    for i, cell in enumerate(box.cells, 1):
        height = y + TITLE + (i - 0.5) * LINE
        axes.text(middle, height, cell, color=DARK, fontsize=10, **style)
    if place.inner is not None:
        inner_left, inner_top = place.inside(place.inner)
        _draw(axes, place.inner, left + inner_left, top + inner_top)
