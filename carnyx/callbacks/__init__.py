"""Callbacks: what watches and steers training."""

from carnyx.callbacks.base import Callback as Callback
from carnyx.callbacks.dispatch import CallbackList as CallbackList
from carnyx.callbacks.history import History as History
from carnyx.callbacks.progress import ProgbarLogger as ProgbarLogger
