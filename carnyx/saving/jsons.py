"""JSON from a file that is not trusted: bounded in size, depth and number."""

from __future__ import annotations

import json
from typing import Any

from carnyx.errors import UnsafeModelError
from carnyx.saving.files import damaged, readable, refused

MAX_BYTES = 32 << 20
MAX_ITEMS = 1_000_000
MAX_DEPTH = 200


def parse(raw: bytes | str, file: object, member: str) -> Any:
    """The value of a JSON text.

    Raises:
        UnsafeModelError: too large, too deep, or a key that comes twice.
        FileError: no JSON.
    """
    data = raw.encode(errors="surrogateescape") if isinstance(raw, str) else raw
    if len(data) > MAX_BYTES:
        what = f"has {readable(len(data))} of JSON, more than {readable(MAX_BYTES)}"
        raise refused(file, member, what, "No model's description is that long.")
    items = data.count(b",") + data.count(b"{") + data.count(b"[")
    if items > MAX_ITEMS:
        what = f"has about {items} JSON values, more than {MAX_ITEMS}"
        raise refused(file, member, what, "No model's description has that many.")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            what = f"has the key {twice!r} twice in one object, so readers may differ"
            raise refused(file, member, what, "Remove one of the two.")
        return found

    too_deep = f"is nested more than {MAX_DEPTH} levels deep"
    try:
        value = json.loads(data.decode(), object_pairs_hook=unique)
    except UnsafeModelError:
        raise
    except RecursionError:
        raise refused(file, member, too_deep, "Nest fewer models.") from None
    except ValueError as error:
        raise damaged(file, member, f"no valid JSON ({error})") from None
    if _deeper_than(value, MAX_DEPTH):
        raise refused(file, member, too_deep, "Nest fewer models.")
    return value


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        inside = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for part in inside for v in part if isinstance(v, dict | list)]
        if not level:
            return False
    return True
