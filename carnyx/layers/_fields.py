"""Fields that a class inherits and places among its own."""

from __future__ import annotations

from collections.abc import Mapping

from carnyx.configurable import Field


def arrange(
    cls: type, inherited: Mapping[str, Field], after: Mapping[str, str]
) -> None:
    """Declare the inherited fields on `cls` too, in the positional order of Keras.

    A class without fields of its own inherits them as they are. To be called from
    `__init_subclass__`, before `Configurable` reads the class's fields.

    Args:
        after: where the class's own fields stand; those not named there come first.
    """
    own = {n: f for n, f in vars(cls).items() if isinstance(f, Field)}
    if not own:
        return
    order = [n for n in own if n not in after] + [n for n in inherited if n not in own]
    for name, previous in after.items():
        order.insert(order.index(previous) + 1, name)
    for name in own:
        delattr(cls, name)
    for name in order:
        declared = own.get(name) or inherited[name]
        declared.name = name
        setattr(cls, name, declared)
