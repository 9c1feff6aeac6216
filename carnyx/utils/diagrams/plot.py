"""`plot_model` and `model_to_dot`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carnyx.errors import ArgumentError, NotBuiltError, UnknownArgumentError
from carnyx.models import Model
from carnyx.utils.diagrams.boxes import Shown, diagram_of
from carnyx.utils.diagrams.dot import Dot
from carnyx.utils.diagrams.layout import picture_of
from carnyx.utils.diagrams.png import drawn_by_matplotlib
from carnyx.utils.diagrams.svg import svg_of

if TYPE_CHECKING:
    from carnyx.utils.diagrams.boxes import Diagram

DIRECTIONS = ("TB", "LR", "BT", "RL")
SPLINES = ("ortho", "curved", "polyline", "spline", "line")


def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: float = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Dot:
    """A model as a graph for Graphviz.

    `to_string()` is its text; `create(format="svg")` and `write(path, format="png")`
    have Graphviz draw it.

    Args:
        subgraph: make it a cluster, to stand within another graph.
        model, show_shapes, rankdir, …: as for `plot_model`.

    >>> import carnyx as keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> "Dense" in model_to_dot(model).to_string()
    True
    """
    shown = Shown(show_shapes, show_dtype, show_layer_names, show_layer_activations,
                  show_trainable, expand_nested)  # fmt: skip
    _check(rankdir, splines, kwargs)
    return Dot(_diagram(model, shown), rankdir, dpi, splines, subgraph)


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: float = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Any:
    """Draw a model into a file, and return the picture for a notebook.

    Graphviz draws where it is installed. Otherwise the picture is drawn here: `.svg`
    needs nothing else, `.png`, `.jpg` and `.pdf` need Matplotlib.

    Args:
        model: built. One that is a graph is drawn with its connections; of one whose
            `call` is code the layers are drawn, where `expand_nested` says so.
        to_file: its ending is the format; without one it is PNG.
        rankdir: "TB" from top to bottom, "LR" from left to right, "BT", "RL" with
            Graphviz only.
        expand_nested: draw what is inside of models that are layers.
        dpi: the resolution, in dots per inch.
        show_layer_activations: of layers that have one.
        show_trainable: of layers that have weights.
        splines: how Graphviz draws arrows: "ortho", "curved", "polyline", "spline",
            "line".

    Returns:
        `IPython.display.Image` or `SVG` where IPython is installed, else None.

    Raises:
        NotBuiltError: for a model that has no layers with weights yet.
        ImportError: where nothing is there to draw that format with.
    """
    shown = Shown(show_shapes, show_dtype, show_layer_names, show_layer_activations,
                  show_trainable, expand_nested)  # fmt: skip
    _check(rankdir, splines, kwargs)
    diagram = _diagram(model, shown)
    path = Path(to_file)
    format = path.suffix[1:].lower() or "png"
    dot = Dot(diagram, rankdir, dpi, splines)
    if format == "dot":
        dot.write(path)
    elif shutil.which("dot"):
        dot.write(path, format=format)
    else:
        path.write_bytes(_drawn_here(diagram, format, rankdir, dpi))
    return _for_notebook(path, format)


def _diagram(model: Model, shown: Shown) -> Diagram:
    if not model.built:
        raise NotBuiltError(
            f"Model {model.name!r} has not yet been built. Call it on a batch of data, "
            "or build(input_shape), before it is drawn."
        )
    return diagram_of(model, shown)


def _check(rankdir: str, splines: str, more: dict[str, Any]) -> None:
    if more.pop("layer_range", None) is not None:
        raise ArgumentError(
            "layer_range is an argument of Keras 2. Make a model of the part that you "
            "want to see: keras.Model(first.input, last.output)."
        )
    if more:
        raise UnknownArgumentError(f"Got unknown arguments {sorted(more)}.")
    for name, value, known in (
        ("rankdir", rankdir, DIRECTIONS), ("splines", splines, SPLINES),
    ):  # fmt: skip
        if value not in known:
            raise ArgumentError(f"{name} got {value!r}; expected one of {known}.")


def _drawn_here(diagram: Diagram, format: str, rankdir: str, dpi: float) -> bytes:
    if rankdir not in ("TB", "LR"):
        raise ArgumentError(
            f"rankdir={rankdir!r} needs Graphviz, which is not installed; without it "
            "there are 'TB' and 'LR'."
        )
    picture = picture_of(diagram, sideways=rankdir == "LR")
    if format == "svg":
        return svg_of(picture, dpi=96).encode()
    return drawn_by_matplotlib(picture, format, dpi)


def _for_notebook(path: Path, format: str) -> Any:
    try:
        from IPython import display  # type: ignore[import-not-found]
    except ImportError:
        return None
    if format in ("pdf", "dot"):
        return None
    kind = display.SVG if format == "svg" else display.Image
    return kind(filename=str(path))
