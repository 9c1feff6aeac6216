"""A diagram in the language of Graphviz, and Graphviz asked to draw it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from html import escape
from pathlib import Path

from carnyx.errors import FileError
from carnyx.utils.diagrams.boxes import Box, Diagram
from carnyx.utils.diagrams.svg import DARK, FRAME, LIGHT


class Dot:
    """A graph for Graphviz: its text, and what `dot` makes of it.

    >>> print(Dot(Diagram([Box("a", "Dense")], []), "TB", 96, "ortho").to_string()[:7])
    digraph
    """

    def __init__(
        self, diagram: Diagram, rankdir: str, dpi: float, splines: str,
        subgraph: bool = False,
    ) -> None:  # fmt: skip
        self.diagram, self.subgraph = diagram, subgraph
        self.settings = {"rankdir": rankdir, "dpi": dpi, "splines": splines}

    def to_string(self) -> str:
        """The text; that of a cluster where it is to be part of another graph."""
        head = "subgraph cluster_model {" if self.subgraph else "digraph model {"
        settings = [f'  {k}="{v}";' for k, v in self.settings.items()]
        lines = ["  compound=true;", '  node [shape=plain fontname="Helvetica"];']
        return "\n".join([head, *settings, *lines, *_lines(self.diagram), "}", ""])

    source = property(to_string)
    __str__ = to_string

    def create(self, prog: str = "dot", format: str = "png") -> bytes:
        """A picture drawn by Graphviz.

        Raises:
            FileError: where it is not installed, or cannot write the format.
        """
        if shutil.which(prog) is None:
            raise FileError(
                f"Graphviz is not installed: there is no program {prog!r}. "
                "keras.utils.plot_model draws without it."
            )
        command = [prog, f"-T{format}"]
        done = subprocess.run(
            command, input=self.to_string().encode(), capture_output=True, check=False
        )
        if done.returncode:
            raise FileError(f"{' '.join(command)}: {done.stderr.decode().strip()}")
        return done.stdout

    def write(
        self, path: str | os.PathLike[str], prog: str = "dot", format: str = "raw"
    ) -> bool:
        """Write the picture, or with "raw" the text, to a file."""
        raw = format in ("raw", "dot")
        content = self.to_string().encode() if raw else self.create(prog, format)
        Path(path).write_bytes(content)
        return True


def _lines(diagram: Diagram) -> Iterator[str]:
    for box in diagram.boxes:
        if box.inner is None or not box.inner.boxes:
            yield f"  {_quoted(box.key)} [label=<{_table(box)}>];"
            continue
        yield f"  subgraph {_quoted('cluster_' + box.key)} {{"
        yield f"  label=<{' | '.join(map(escape, [box.title, *box.cells]))}>;"
        yield from _lines(box.inner)
        yield "  }"
    for start, end in diagram.arrows:
        tail, head = _inside(start, last=True), _inside(end, last=False)
        ends = [
            f"{end_of}={_quoted('cluster_' + box.key)}"
            for end_of, box, seen in (("ltail", start, tail), ("lhead", end, head))
            if seen is not box
        ]
        more = f" [{' '.join(ends)}]" if ends else ""
        yield f"  {_quoted(tail.key)} -> {_quoted(head.key)}{more};"


def _inside(box: Box, last: bool) -> Box:
    """The box that an arrow to or from a cluster is tied to."""
    while box.inner is not None and box.inner.boxes:
        box = box.inner.boxes[-1 if last else 0]
    return box


def _table(box: Box) -> str:
    title = f'<font color="white"><b>{escape(box.title)}</b></font>'
    head = f'<td bgcolor="{DARK}">{title}</td>'
    cells = "".join(f"<tr><td>{escape(cell)}</td></tr>" for cell in box.cells)
    return (
        f'<table border="0" cellborder="1" cellspacing="0" cellpadding="6" '
        f'color="{FRAME}" bgcolor="{LIGHT}"><tr>{head}</tr>{cells}</table>'
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
