"""Arguments declared once, configs that write themselves.

An argument of a library class is a field. It gives the signature, the attribute, the
conversion, the check and the config entry:

    class Dropout(Layer):
        rate: float = field(check=fraction)
        noise_shape: tuple | None = field(None)

What is annotated as `int` or `float` takes numbers only, NumPy's too, keeps plain ones,
and takes None where the annotation does.

A class may write a plain `__init__` instead (users' classes do): what it was given is
recorded, one class at a time, so that `get_config` works without being written, and a
written one still wins. A class without `get_config` gets one that adds its own names
to `super().get_config()`; so the usual idiom (`c = super().get_config();
c.update(...)`), subclasses of library classes and private attributes all round-trip.
"""

from carnyx.configurable.base import Configurable as Configurable
from carnyx.configurable.base import Dtyped as Dtyped
from carnyx.configurable.base import forgotten_super as forgotten_super
from carnyx.configurable.checks import above_zero as above_zero
from carnyx.configurable.checks import at_least as at_least
from carnyx.configurable.checks import fraction as fraction
from carnyx.configurable.checks import one_of as one_of
from carnyx.configurable.checks import positive as positive
from carnyx.configurable.checks import whole_numbers as whole_numbers
from carnyx.configurable.fields import REQUIRED as REQUIRED
from carnyx.configurable.fields import Field as Field
from carnyx.configurable.fields import attribute as attribute
from carnyx.configurable.fields import derived as derived
from carnyx.configurable.fields import field as field
