"""Tables of text, as lines and as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

Row = Sequence[str]


def aligned(rows: Sequence[Row], left: int | None = None) -> list[str]:
    """A line for each row.

    Args:
        left: how many columns, from the first, are flush left; None is all.

    >>> aligned([("layer", "size"), ("dense", "8")], left=1)
    ['layer  size', 'dense     8']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = len(widths) if left is None else left
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def html_table(headings: Row, rows: Sequence[Row], caption: str = "") -> str:
    """The same for a notebook."""

    def line(cells: Row, tag: str) -> str:
        inside = "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells)
        return f"<tr>{inside}</tr>"

    body = "".join(line(row, "td") for row in rows)
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{above}{line(headings, 'th')}{body}</table>"
