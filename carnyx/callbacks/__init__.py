"""Callbacks: what watches and steers training."""

from carnyx.callbacks.backup import BackupAndRestore as BackupAndRestore
from carnyx.callbacks.base import Callback as Callback
from carnyx.callbacks.checkpoint import ModelCheckpoint as ModelCheckpoint
from carnyx.callbacks.csv_logger import CSVLogger as CSVLogger
from carnyx.callbacks.dispatch import CallbackList as CallbackList
from carnyx.callbacks.early_stopping import EarlyStopping as EarlyStopping
from carnyx.callbacks.ema import SwapEMAWeights as SwapEMAWeights
from carnyx.callbacks.history import History as History
from carnyx.callbacks.learning_rate import (
    LearningRateScheduler as LearningRateScheduler,
)
from carnyx.callbacks.learning_rate import ReduceLROnPlateau as ReduceLROnPlateau
from carnyx.callbacks.nan_guard import TerminateOnNaN as TerminateOnNaN
from carnyx.callbacks.orbax import OrbaxCheckpoint as OrbaxCheckpoint
from carnyx.callbacks.progress import ProgbarLogger as ProgbarLogger
from carnyx.callbacks.remote import RemoteMonitor as RemoteMonitor
from carnyx.callbacks.simple import BaseLogger as BaseLogger
from carnyx.callbacks.simple import LambdaCallback as LambdaCallback
from carnyx.callbacks.tensorboard import TensorBoard as TensorBoard
