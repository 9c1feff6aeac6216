"""First values that are drawn once it is known that all of them fit into memory.

A layer makes a kernel of gigabytes, and the next weight is refused: the numbers were
drawn for nothing. So variables that a layer's `build` makes wait for their values until
its end. One that is read before that gets its value then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from carnyx._core.memory import LESS, copies_made, free_bytes, readable
from carnyx._core.scope import current, scoped
from carnyx.errors import OutOfMemoryError, add_note_once

if TYPE_CHECKING:
    from carnyx._core.variable import Variable


@contextlib.contextmanager
def drawn_together(what: str) -> Iterator[None]:
    """Variables made within get their first values at the end, those within it too.

    Args:
        what: whose variables they are, for messages.

    Raises:
        OutOfMemoryError: where they do not fit together; then none has a value.
    """
    if current().abstract or current().waiting is not None:
        yield
        return
    made: list[Variable] = []
    with scoped(waiting=made):
        yield
    waiting = [v for v in made if v.abstract]
    _ensure_room(waiting, what)
    for variable in waiting:
        try:
            variable.materialize()
        except Exception as error:
            add_note_once(error, f"  as the first value of {variable.path!r}")
            raise


def _ensure_room(waiting: list[Variable], what: str) -> None:
    if len(waiting) < 2:
        return  # asked when it was made
    total = sum(v.nbytes for v in waiting)
    most = max((copies_made(v.pending) - 1) * v.nbytes for v in waiting)
    if total + most < _SMALL:
        return
    free = free_bytes()
    if free is not None and total + most > free:
        largest = max(waiting, key=lambda v: v.nbytes)
        raise OutOfMemoryError(
            f"{what} has {len(waiting)} weights, which take {readable(total)} together "
            f"(the largest, {largest.path!r} of shape {largest.shape}, "
            f"{readable(largest.nbytes)}; {readable(total + most)} while they are "
            f"made), and {readable(free)} of memory are free. {LESS}"
        )


_SMALL = 1 << 26  # bytes that nobody asks the system about
