"""Write `carnyx/_names.txt`: the public names of Keras 3.15 and 2.1, by module.

The file is read where a name is not found, to tell whether Keras has or had it. It is
made from the two inventories, JSON files of `{dotted name: {kind, aliases, …}}`:

    python tools/write_names.py keras-3.15.json keras-2.1.json
"""

import json
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "carnyx" / "_names.txt"
HEAD = "# Public names by module; written by tools/write_names.py.\n"


def names_by_module(inventory: dict) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, entry in inventory.items():
        if entry.get("plumbing"):
            continue
        for path in (name, *entry.get("aliases", ())):
            parts = path.split(".")[1:]
            if "_tf_keras" in parts or any(p.startswith("_") for p in parts):
                continue
            for i, part in enumerate(parts):  # a module is a name in the one above
                found.setdefault(".".join(parts[:i]), set()).add(part)
    return found


def _is_public(module: str) -> bool:
    """Of Keras 2, whose files were all open: the folders, not the files in them."""
    return "." not in module or module.startswith("preprocessing.")


def main(newest: str, oldest: str) -> None:
    new, old = (names_by_module(json.loads(Path(p).read_text())) for p in sys.argv[1:])
    old = {m: names - new.get(m, set()) for m, names in old.items()}
    lines = [HEAD]
    for version, modules in ((newest, new), (oldest, old)):
        lines += [
            f"{version} {module or '.'} {' '.join(sorted(names))}\n"
            for module, names in sorted(modules.items())
            if names and (version == newest or _is_public(module))
        ]
    TARGET.write_text("".join(lines))


if __name__ == "__main__":
    main("3.15", "2.1")
