"""Carnyx: the Keras API on JAX. `import carnyx as keras`."""

from carnyx import activations as activations
from carnyx import backend as backend
from carnyx import callbacks as callbacks
from carnyx import config as config
from carnyx import constraints as constraints
from carnyx import datasets as datasets
from carnyx import distillation as distillation
from carnyx import distribution as distribution
from carnyx import dtype_policies as dtype_policies
from carnyx import errors as errors
from carnyx import initializers as initializers
from carnyx import layers as layers
from carnyx import legacy as legacy
from carnyx import losses as losses
from carnyx import metrics as metrics
from carnyx import mixed_precision as mixed_precision
from carnyx import models as models
from carnyx import ops as ops
from carnyx import optimizers as optimizers
from carnyx import preprocessing as preprocessing
from carnyx import random as random
from carnyx import regularizers as regularizers
from carnyx import saving as saving
from carnyx import tree as tree
from carnyx import utils as utils
from carnyx import wrappers as wrappers
from carnyx._core.abstract import abstract as abstract
from carnyx._core.abstract import materialize as materialize
from carnyx._core.devices import device as device
from carnyx._core.naming import name_scope as name_scope
from carnyx._core.node import Operation as Operation
from carnyx._core.remat import RematScope as RematScope
from carnyx._core.remat import remat as remat
from carnyx._core.scope import StatelessScope as StatelessScope
from carnyx._core.scope import pure as pure
from carnyx._core.startup import prepare_jax as _prepare_jax
from carnyx._core.symbol import KerasTensor as KerasTensor
from carnyx._core.variable import Variable as Variable
from carnyx._spellings import explain_absent_names as _explain_absent_names
from carnyx._version import __version__ as __version__
from carnyx._version import version as version
from carnyx.dtype_policies import DTypePolicy as DTypePolicy
from carnyx.dtype_policies import FloatDTypePolicy as FloatDTypePolicy
from carnyx.initializers import Initializer as Initializer
from carnyx.layers import Input as Input
from carnyx.layers import InputSpec as InputSpec
from carnyx.layers import Layer as Layer
from carnyx.losses import Loss as Loss
from carnyx.metrics import Metric as Metric
from carnyx.models import Model as Model
from carnyx.models import Sequential as Sequential
from carnyx.optimizers import Optimizer as Optimizer
from carnyx.regularizers import Regularizer as Regularizer

_prepare_jax()
_explain_absent_names()
