"""`keras.layers`: the index."""

from carnyx.layers.base import Layer as Layer
from carnyx.layers.core import Dense as Dense
from carnyx.layers.core import Identity as Identity
from carnyx.layers.input import Input as Input
from carnyx.layers.input import InputLayer as InputLayer
from carnyx.layers.input_spec import InputSpec as InputSpec
