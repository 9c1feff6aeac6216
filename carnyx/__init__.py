"""Carnyx: the Keras API on JAX."""

from carnyx import config as config
from carnyx._core.naming import name_scope as name_scope
from carnyx._core.scope import StatelessScope as StatelessScope
from carnyx._core.scope import pure as pure
from carnyx._core.seed import SeedGenerator as _SeedGenerator
from carnyx._core.symbol import KerasTensor as KerasTensor
from carnyx._core.variable import Variable as Variable

__version__ = "0.1.0"
