"""How much of Keras 3.15's public names there is: `docs/coverage.md`.

    python tools/coverage.py          # print, namespace by namespace
    python tools/coverage.py --write  # write the page

The names are those of `carnyx/_names.txt`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import carnyx  # noqa: E402
from carnyx._spellings import names_of_keras  # noqa: E402

PAGE = ROOT / "docs" / "coverage.md"
VERSION = "3.15"
HEAD = f"""# What is there of Keras {VERSION}

Written by `python tools/coverage.py --write`; a test says when it is out of date. Names
of Keras that are missing say so where they are asked for, and what to do meanwhile.

| Namespace | There | Of | Missing |
|---|---|---|---|
"""


def names_by_module(version: str = VERSION) -> dict[str, list[str]]:
    """The public names of a version of Keras; `""` is `keras` itself."""
    return {
        module.removeprefix("."): sorted(names)
        for (known, module), names in names_of_keras().items()
        if known == version
    }


def missing() -> dict[str, list[str]]:
    """Of every namespace, the names that are not here."""
    absent = {}
    for module, names in names_by_module().items():
        place = carnyx
        for part in module.split(".") if module else []:
            place = getattr(place, part, None)
        absent[module] = [name for name in names if not hasattr(place, name)]
    return absent


def page() -> str:
    """The text of the page."""
    absent, rows, total, there = missing(), [], 0, 0
    for module, names in sorted(names_by_module().items()):
        count = len(names) - len(absent[module])
        total, there = total + len(names), there + count
        path = f"keras.{module}".rstrip(".")
        rows.append(
            f"| `{path}` | {count} | {len(names)} | {' '.join(absent[module])} |\n"
        )
    return f"{HEAD}{''.join(rows)}\n{there} of {total} names.\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page())
    else:
        print(page())
