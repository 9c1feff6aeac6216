"""`keras.optimizers.legacy`: what Keras 2.11 called its older optimizers.

Their rules are those of the optimizers of today, which is what a script gets.
"""

from carnyx.optimizers.adam import Adam as Adam
from carnyx.optimizers.base import Optimizer as Optimizer
from carnyx.optimizers.second_moment import Adagrad as Adagrad
from carnyx.optimizers.second_moment import Ftrl as Ftrl
from carnyx.optimizers.second_moment import RMSprop as RMSprop
from carnyx.optimizers.sgd import SGD as SGD

__all__ = ["SGD", "Adagrad", "Adam", "Ftrl", "Optimizer", "RMSprop"]
