"""How much a file may ask for before anything of it is made."""

from __future__ import annotations

from carnyx.saving.files import refused

MAX_LAYERS = 10_000


def check_layers(record: object, source: str, most: int) -> None:
    """Count the layers that a config describes, those of models inside it too.

    Raises:
        UnsafeModelError: for more than `most`.
    """
    count, waiting = 0, [record]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            of_old = value.get("config") if value.get("class_name") else None
            lists = [v for v in (value.get("layers"), of_old) if isinstance(v, list)]
            count += sum(map(len, lists))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += [v for v in value if isinstance(v, dict | list)]
    if count > most:
        what = f"describes {count} layers, more than {most}"
        remedy = f"If you trust it: load_model(..., max_layers={count})."
        raise refused(source, "the config", what, remedy)
