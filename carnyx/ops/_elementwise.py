"""Functions of one entry, or of two entries that meet by broadcasting."""

from __future__ import annotations

import jax.numpy as jnp

from carnyx import config
from carnyx._core.op import op
from carnyx.errors import DTypeError
from carnyx.ops import _safe
from carnyx.ops._dtypes import tensor, to_float, to_floats
from carnyx.ops._safe import hypot as hypotenuse
from carnyx.ops._thin import binary, bitwise, unary
from carnyx.typing import ArrayLike, Tensor

# fmt: off
__all__ = [
    "abs", "absolute", "add", "allclose", "angle", "arccos", "arccosh", "arcsin",
    "arcsinh", "arctan", "arctan2", "arctanh", "bitwise_and", "bitwise_invert",
    "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "cbrt", "ceil", "clip", "conj", "conjugate", "copy", "copysign",
    "cos", "cosh", "deg2rad", "divide", "divide_no_nan", "equal", "exp", "exp2",
    "expm1", "fabs", "float_power", "floor", "floor_divide", "fmax", "fmin", "fmod",
    "gcd", "greater", "greater_equal", "heaviside", "hypot", "i0", "imag", "isclose",
    "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "lcm", "ldexp",
    "left_shift", "less", "less_equal", "log", "log10", "log1p", "log2", "logaddexp",
    "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum",
    "minimum", "mod", "multiply", "nan_to_num", "negative", "nextafter", "not_equal",
    "power", "rad2deg", "real", "reciprocal", "right_shift", "round", "sign", "signbit",
    "sin", "sinc", "sinh", "sqrt", "square", "subtract", "tan", "tanh", "true_divide",
    "trunc",
]
# fmt: on

# Powers and logarithms
exp = unary(jnp.exp, "e ** x.", to_float)
exp2 = unary(jnp.exp2, "2 ** x.", to_float)
expm1 = unary(jnp.expm1, "e ** x - 1, exact for small x.", to_float)
log = unary(jnp.log, "The natural logarithm.", to_float)
log10 = unary(jnp.log10, "The logarithm to base 10.", to_float)
log2 = unary(jnp.log2, "The logarithm to base 2.", to_float)
log1p = unary(jnp.log1p, "log(1 + x), exact for small x.", to_float)
sqrt = unary(jnp.sqrt, "x ** (1 / 2).", to_float)
cbrt = unary(jnp.cbrt, "The real cube root.", to_float)
square = unary(jnp.square, "x ** 2.")
reciprocal = unary(jnp.reciprocal, "1 / x.", to_float)
i0 = unary(jnp.i0, "The modified Bessel function I_0.", to_float)

# Angles
sin = unary(jnp.sin, "The sine of x radians.", to_float)
cos = unary(jnp.cos, "The cosine of x radians.", to_float)
tan = unary(jnp.tan, "The tangent of x radians.", to_float)
sinc = unary(jnp.sinc, "sin(pi x) / (pi x), 1 at 0.", to_float)
arcsin = unary(jnp.arcsin, "The angle in [-pi/2, pi/2] whose sine is x.", to_float)
arccos = unary(jnp.arccos, "The angle in [0, pi] whose cosine is x.", to_float)
arctan = unary(jnp.arctan, "The angle in [-pi/2, pi/2] whose tangent is x.", to_float)
sinh = unary(jnp.sinh, "(e**x - e**-x) / 2.", to_float)
cosh = unary(jnp.cosh, "(e**x + e**-x) / 2.", to_float)
tanh = unary(jnp.tanh, "sinh(x) / cosh(x).", to_float)
arcsinh = unary(jnp.arcsinh, "The inverse of sinh.", to_float)
arccosh = unary(jnp.arccosh, "The inverse of cosh on x >= 1.", to_float)
arctanh = unary(jnp.arctanh, "The inverse of tanh on -1 < x < 1.", to_float)
deg2rad = unary(jnp.deg2rad, "Degrees to radians: x pi / 180.", to_float)
rad2deg = unary(jnp.rad2deg, "Radians to degrees: 180 x / pi.", to_float)

# Signs, and integers nearby
absolute = unary(jnp.absolute, "|x|.")
abs = absolute
negative = unary(jnp.negative, "-x.")
sign = unary(jnp.sign, "-1, 0 or 1 (x / |x| of a complex x).")
signbit = unary(jnp.signbit, "Whether the sign bit is set; True also for -0.0.")
ceil = unary(jnp.ceil, "The least integer >= x, as a float.", to_float)
floor = unary(jnp.floor, "The greatest integer <= x, as a float.", to_float)
copy = unary(jnp.copy, "The same values in a new array.")

# Complex numbers
real = unary(jnp.real, "The real part.")
imag = unary(jnp.imag, "The imaginary part.")
conjugate = unary(jnp.conjugate, "The complex conjugate.")
conj = conjugate
isreal = unary(jnp.isreal, "Whether the imaginary part is 0.")

# Questions
isfinite = unary(jnp.isfinite, "Whether x is neither infinite nor NaN.")
isinf = unary(jnp.isinf, "Whether x is infinite.")
isneginf = unary(jnp.isneginf, "Whether x is -inf.")
isposinf = unary(jnp.isposinf, "Whether x is +inf.")
isnan = unary(jnp.isnan, "Whether x is NaN.")
equal = binary(jnp.equal, "x1 == x2.")
not_equal = binary(jnp.not_equal, "x1 != x2.")
greater = binary(jnp.greater, "x1 > x2.")
greater_equal = binary(jnp.greater_equal, "x1 >= x2.")
less = binary(jnp.less, "x1 < x2.")
less_equal = binary(jnp.less_equal, "x1 <= x2.")
logical_and = binary(jnp.logical_and, "Whether both are nonzero.")
logical_or = binary(jnp.logical_or, "Whether one or both are nonzero.")
logical_xor = binary(jnp.logical_xor, "Whether exactly one is nonzero.")
logical_not = unary(jnp.logical_not, "Whether x is zero.")

# Arithmetic
add = binary(jnp.add, "x1 + x2.")
subtract = binary(jnp.subtract, "x1 - x2.")
multiply = binary(jnp.multiply, "x1 x2, entry by entry.")
divide = binary(jnp.divide, "x1 / x2, a float also of integers.")
true_divide = divide
floor_divide = binary(jnp.floor_divide, "floor(x1 / x2).")
mod = binary(jnp.mod, "x1 - x2 floor(x1 / x2), with the sign of x2.")
fmod = binary(jnp.fmod, "x1 - x2 trunc(x1 / x2), with the sign of x1.")
power = binary(
    _safe.any_power, "x1 ** x2; gradients are finite where it is.", name="power"
)
maximum = binary(jnp.maximum, "The greater of the two; NaN where one is NaN.")
minimum = binary(jnp.minimum, "The lesser of the two; NaN where one is NaN.")
fmax = binary(jnp.fmax, "The greater of the two; of NaN and a number the number.")
fmin = binary(jnp.fmin, "The lesser of the two; of NaN and a number the number.")
hypot = binary(hypotenuse, "sqrt(x1**2 + x2**2); overflow-free; gradient 0 at 0.")
heaviside = binary(jnp.heaviside, "0 for x1 < 0, x2 at 0, 1 for x1 > 0.")
nextafter = binary(jnp.nextafter, "The float next to x1 in the direction of x2.")
copysign = binary(jnp.copysign, "|x1| with the sign of x2, that of -0.0 too.")
gcd = binary(jnp.gcd, "The greatest common divisor.")
lcm = binary(jnp.lcm, "The least common multiple.")

# Bits
bitwise_and = bitwise(jnp.bitwise_and, "x & y.", "bitwise_and")
bitwise_or = bitwise(jnp.bitwise_or, "x | y.", "bitwise_or")
bitwise_xor = bitwise(jnp.bitwise_xor, "x ^ y.", "bitwise_xor")
bitwise_left_shift = bitwise(jnp.left_shift, "x << y.", "bitwise_left_shift")
bitwise_right_shift = bitwise(jnp.right_shift, "x >> y.", "bitwise_right_shift")
bitwise_invert = unary(jnp.invert, "~x.", name="bitwise_invert")
bitwise_not = bitwise_invert
left_shift = bitwise_left_shift
right_shift = bitwise_right_shift


@op
def fabs(x: Tensor) -> Tensor:
    """|x| of a real x, as a float."""
    x = to_float(x)
    if x.dtype.kind == "c":
        raise DTypeError(
            f"fabs got {x.dtype.name}; it takes real numbers. Use absolute."
        )
    return jnp.fabs(x)


@op
def angle(x: Tensor) -> Tensor:
    """The argument of a complex number, in radians; that of 0 has no gradient."""
    x = to_float(x)
    return _safe.arctan2(jnp.imag(x), jnp.real(x))


@op
def arctan2(x1: Tensor, x2: Tensor) -> Tensor:
    """The angle in [-pi, pi] of the point (x2, x1), which is that of x1 / x2."""
    x1, x2 = to_floats(x1, x2)
    return _safe.arctan2(x1, x2)


@op
def float_power(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 ** x2 as floats, so that integers may have negative exponents.

    >>> import numpy as np
    >>> float(float_power(np.array(2), np.array(-1)))
    0.5
    """
    x1, x2 = to_floats(x1, x2)
    return jnp.power(x1, x2)


@op
def logaddexp(x1: Tensor, x2: Tensor) -> Tensor:
    """log(e ** x1 + e ** x2), without overflow between."""
    x1, x2 = to_floats(x1, x2)
    return jnp.logaddexp(x1, x2)


@op
def logaddexp2(x1: Tensor, x2: Tensor) -> Tensor:
    """log2(2 ** x1 + 2 ** x2), without overflow between."""
    x1, x2 = to_floats(x1, x2)
    return jnp.logaddexp2(x1, x2)


@op
def divide_no_nan(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 / x2, and 0 where x2 is 0; so is its gradient there."""
    x1, x2 = tensor(x1), tensor(x2)
    # Two `where`s: a NaN hidden by the outer one alone still reaches the gradient.
    return jnp.where(x2 == 0, 0, x1 / jnp.where(x2 == 0, 1, x2))


@op
def ldexp(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 * 2 ** x2 for an integer x2."""
    x1, x2 = tensor(x1), tensor(x2)
    if x2.dtype.kind not in "iu":
        raise DTypeError(f"ldexp got x2 in {x2.dtype.name}; expected an integer dtype.")
    return jnp.ldexp(x1, x2)


@op
def clip(x: Tensor, x_min: ArrayLike, x_max: ArrayLike) -> Tensor:
    """min(max(x, x_min), x_max)."""
    x = tensor(x)
    x = x.astype("int32") if x.dtype == bool else x  # as Keras: no clipped booleans
    return jnp.clip(x, x_min, x_max)


@op
def round(x: Tensor, decimals: int = 0) -> Tensor:
    """x to `decimals` digits after the point (before it, if negative), halves to even.

    >>> round([0.5, 1.5, 2.5]).tolist(), round(1250, -2).tolist()
    ([0.0, 2.0, 2.0], 1200)
    """
    x = tensor(x)
    if x.dtype.kind in "iu" and decimals < 0:  # of integers jnp rounds none away
        scale = 10.0**decimals
        return (jnp.round(x.astype(config.floatx()) * scale) / scale).astype(x.dtype)
    return jnp.round(x, decimals)


@op
def trunc(x: Tensor) -> Tensor:
    """x without its fraction."""
    x = tensor(x)
    return x if x.dtype.kind in "biu" else jnp.trunc(x)


@op
def nan_to_num(
    x: Tensor,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """x with NaN and the infinities replaced (None: by the largest finite floats)."""
    return jnp.nan_to_num(tensor(x), nan=nan, posinf=posinf, neginf=neginf)


@op
def isclose(
    x1: Tensor,
    x2: Tensor,
    rtol: float | Tensor = 1e-5,
    atol: float | Tensor = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Whether |x1 - x2| <= atol + rtol |x2|, entry by entry."""
    return jnp.isclose(tensor(x1), tensor(x2), rtol, atol, equal_nan)


@op
def allclose(
    x1: Tensor,
    x2: Tensor,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Whether |x1 - x2| <= atol + rtol |x2| everywhere."""
    return jnp.allclose(tensor(x1), tensor(x2), rtol, atol, equal_nan)
