"""Methods that a model's class writes, perhaps for an older Keras: what they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx.layers._call import signature_of


def call_override(method: Callable[..., Any], **given: Any) -> Any:
    """Call a bound method with those arguments that it takes, by name.

    Arguments were added over the years (`training` of `compute_loss` in Keras 3.5);
    what was written before goes on as it is. One that calls them otherwise gets them
    by place.

    >>> class Old:
    ...     def compute_loss(self, x, y_true, y_pred):
    ...         return y_true - y_pred
    >>> call_override(Old().compute_loss, x=0, y=3, y_pred=1, training=True)
    2
    """
    signature = signature_of(method.__func__)  # type: ignore[attr-defined]
    if set(signature.required) - set(given):
        return method(*list(given.values())[: len(signature.names)])
    if signature.keywords:
        return method(**given)
    return method(**{name: v for name, v in given.items() if signature.takes(name)})
