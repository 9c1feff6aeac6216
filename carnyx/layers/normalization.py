"""Layers that make means 0 and variances 1, over one choice of axes or another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from carnyx import config, constraints, initializers, ops, regularizers
from carnyx._core.variable import Variable
from carnyx.configurable import field, positive
from carnyx.errors import ArgumentError, ArgumentTypeError, ShapeError
from carnyx.layers._sizes import known_size
from carnyx.layers.base import Layer
from carnyx.layers.core import Wrapper
from carnyx.layers.input_spec import InputSpec, label
from carnyx.ops._dtypes import result_type
from carnyx.typing import Shape, Tensor


def _axes(axis: Any) -> Any:
    """An integer, or a list of them."""
    many = list(axis) if isinstance(axis, list | tuple) else [axis]
    if not all(isinstance(a, int) for a in many):
        raise ArgumentTypeError(f"axis got {axis!r}; expected an integer or several.")
    return many if isinstance(axis, list | tuple) else axis


def _many(axis: Any) -> list[int]:
    return [axis] if isinstance(axis, int) else sorted(axis)


class _Affine(Layer):
    """gamma and beta, read in full precision whatever the compute dtype."""

    center: bool = field(True)
    scale: bool = field(True)
    beta_initializer: Any = field("zeros", initializers.get)
    gamma_initializer: Any = field("ones", initializers.get)
    beta_regularizer: Any = field(None, regularizers.get)
    gamma_regularizer: Any = field(None, regularizers.get)
    beta_constraint: Any = field(None, constraints.get)
    gamma_constraint: Any = field(None, constraints.get)

    field_order = (
        "groups", "axis", "momentum", "epsilon", "center", "scale",
        "beta_initializer", "gamma_initializer", "moving_mean_initializer",
        "moving_variance_initializer", ...,
    )  # fmt: skip
    supports_masking = True

    def _make_gain(self, shape: Sequence[int]) -> None:
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.weight("gamma", shape, autocast=False)
        if self.center:
            self.beta = self.weight("beta", shape, autocast=False)


class BatchNormalization(_Affine):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, a mean for each channel.

    In training mean and variance are the batch's, of the steps that a mask leaves, and
    the moving ones approach them: m = momentum · m + (1 - momentum) · mean. Otherwise,
    or with `trainable` set to False, the moving ones are used.

    Shapes: (batch, …) -> the same
    Weights: gamma, beta, moving_mean, moving_variance (all of the size of `axis`)

    Args:
        renorm: batch renormalisation: x also goes through clipped corrections towards
            the moving statistics.
        renorm_clipping: `"rmin"`, `"rmax"`, `"dmax"`.
        synchronized: nothing to do: a batch sharded over devices has one mean.

    References: arXiv:1502.03167, arXiv:1702.03275

    >>> import numpy as np
    >>> y = BatchNormalization()(np.array([[1.0], [3.0]]), training=True)
    >>> y.round(2).tolist()
    [[-1.0], [1.0]]
    """

    axis: int = field(-1, int)
    momentum: float = field(0.99, float)
    epsilon: float = field(1e-3, float)
    moving_mean_initializer: Any = field("zeros", initializers.get)
    moving_variance_initializer: Any = field("ones", initializers.get)
    renorm: bool = field(False)
    renorm_clipping: Any = field(None)
    renorm_momentum: float = field(0.99)
    synchronized: bool = field(False)

    def __post_init__(self) -> None:
        if not self.renorm:
            return
        self.renorm_clipping = clip = dict(self.renorm_clipping or {})
        upside_down = clip.get("rmin", 0) > clip.get("rmax", float("inf"))
        unknown = set(clip) - {"rmin", "rmax", "dmax"}
        if unknown or upside_down or clip.get("dmax", 0) < 0:
            raise ArgumentError(
                f"BatchNormalization got renorm_clipping={clip}; expected the keys "
                "'rmin', 'rmax' (above it) and 'dmax' (0 or more)."
            )

    def build(self, input_shape: Shape) -> None:
        size = known_size(input_shape, self.axis, self)
        self._make_gain((size,))
        state = {"trainable": False, "autocast": False}
        self.moving_mean = self.weight("moving_mean", (size,), **state)
        self.moving_variance = self.weight("moving_variance", (size,), **state)
        if self.renorm:
            mean, deviation = self.moving_mean_initializer, self._first_deviation
            self.moving_stddev, self.renorm_mean, self.renorm_stddev = (
                self.weight(name, (size,), initializer=initializer, **state)
                for name, initializer in (
                    ("moving_stddev", deviation),
                    ("renorm_mean", mean),
                    ("renorm_stddev", deviation),
                )
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})

    def _first_deviation(self, shape: Any, dtype: Any = None) -> Tensor:
        return ops.sqrt(self.moving_variance_initializer(shape, dtype))

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        x = ops.cast(inputs, result_type(inputs.dtype, "float32"))
        gamma, beta = self.gamma, self.beta
        if training and self.trainable:
            mean, variance = self._moments(x, mask)
            if self.renorm:
                gamma, beta = self._corrected(mean, variance)
                deviation = ops.sqrt(variance + self.epsilon)
                self._update_renorm(mean, deviation, mask)
            else:
                momentum = _unless_empty(self.momentum, mask)
                _approach(self.moving_mean, mean, momentum)
                _approach(self.moving_variance, variance, momentum)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        y = ops.batch_normalization(
            x, mean, variance, self.axis, beta, gamma, self.epsilon
        )
        return ops.cast(y, self.compute_dtype)

    def _moments(self, x: Tensor, mask: Any) -> tuple[Tensor, Tensor]:
        axes = [i for i in range(x.ndim) if i != self.axis % x.ndim]
        if mask is None:
            return ops.moments(x, axes, synchronized=self.synchronized)
        if mask.ndim != x.ndim - 1:
            raise ShapeError(
                f"{label(self)} got a mask of shape {mask.shape} for inputs "
                f"{x.shape}; expected one axis less than the inputs."
            )
        counts = ops.broadcast_to(ops.cast(mask, "bool")[..., None], x.shape)
        number = ops.sum(ops.cast(counts, x.dtype), axes, keepdims=True)
        number = number + config.epsilon()
        mean = ops.sum(ops.where(counts, x, 0), axes, keepdims=True) / number
        squares = ops.square(ops.where(counts, x - mean, 0))
        variance = ops.sum(squares, axes, keepdims=True) / number
        return mean.reshape(-1), variance.reshape(-1)

    def _corrected(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """gamma and beta such that the result is gamma (r · x̂ + d) + beta."""
        clip = self.renorm_clipping
        moving = ops.maximum(self.renorm_stddev, self.epsilon**0.5)
        r = ops.sqrt(variance + self.epsilon) / moving
        d = (mean - self.renorm_mean) / moving
        r = ops.clip(r, clip.get("rmin", -math.inf), clip.get("rmax", math.inf))
        d = ops.clip(d, -clip.get("dmax", math.inf), clip.get("dmax", math.inf))
        r, d = ops.stop_gradient(r), ops.stop_gradient(d)
        if self.gamma is not None:
            r, d = r * self.gamma, d * self.gamma
        return r, d if self.beta is None else d + self.beta

    def _update_renorm(self, mean: Tensor, deviation: Tensor, mask: Any) -> None:
        renorm_momentum = _unless_empty(self.renorm_momentum, mask)
        momentum = _unless_empty(self.momentum, mask)
        _approach(self.renorm_mean, mean, renorm_momentum)
        _approach(self.renorm_stddev, deviation, renorm_momentum)
        _approach(self.moving_mean, mean, momentum)
        moving = _approach(self.moving_stddev, deviation, momentum)
        # Rounding may leave it below epsilon.
        self.moving_variance.assign(ops.relu(moving * moving - self.epsilon))


def _unless_empty(momentum: float, mask: Any) -> Any:
    """`momentum`, but 1 where a mask leaves nothing: then nothing was learnt."""
    if mask is None:
        return momentum
    return ops.where(ops.any(ops.cast(mask, "bool")), momentum, 1.0)


def _approach(variable: Variable, value: Tensor, momentum: Any) -> Tensor:
    """momentum · variable + (1 - momentum) · value, assigned."""
    moved = variable.value.astype(value.dtype) * momentum + value * (1 - momentum)
    return variable.assign(moved)


class LayerNormalization(_Affine):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, over each sample's `axis`.

    Shapes: (batch, …) -> the same
    Weights: gamma, beta (both of the sizes of `axis`); gamma alone with `rms_scaling`
    References: arXiv:1607.06450

    >>> import numpy as np
    >>> LayerNormalization()(np.array([[1.0, 3.0]])).round(2).tolist()
    [[-1.0, 1.0]]
    """

    axis: Any = field(-1, _axes)
    epsilon: float = field(1e-3)
    rms_scaling: bool = field(False, kw_only=True)

    def __post_init__(self) -> None:
        self.autocast = False  # the statistics are taken in the input's precision

    def build(self, input_shape: Shape) -> None:
        shape = [known_size(input_shape, a, self) for a in _many(self.axis)]
        if self.rms_scaling:  # scaled whatever `scale` says, and not centred
            self.gamma = self.weight("gamma", shape, autocast=False)
            self.beta = None
        else:
            self._make_gain(shape)

    def call(self, inputs: Tensor) -> Tensor:
        extra = {"rms_scaling": True} if self.rms_scaling else {}
        y = ops.layer_normalization(
            inputs, self.gamma, self.beta, _many(self.axis), self.epsilon, **extra
        )
        return ops.cast(y, self.compute_dtype)


class GroupNormalization(_Affine):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, over groups of channels.

    Shapes: (batch, …) -> the same
    Weights: gamma, beta (both of the size of `axis`)

    Args:
        groups: into how many `axis` is divided; -1 makes each channel a group.

    References: arXiv:1803.08494
    """

    groups: int = field(32)
    axis: int = field(-1)
    epsilon: float = field(1e-3)

    def __post_init__(self) -> None:
        if self.groups != -1 and positive(self.groups):
            raise ArgumentError(
                f"GroupNormalization got groups={self.groups!r}; expected an integer "
                "above 0, or -1 for groups of one channel."
            )
        self.autocast = False

    def build(self, input_shape: Shape) -> None:
        size = known_size(input_shape, self.axis, self)
        if size % self.groups:
            raise ShapeError(
                f"{label(self)} got {size} channels (shape {input_shape}); expected a "
                f"multiple of groups={self.groups}."
            )
        self._make_gain((size,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})

    def call(self, inputs: Tensor) -> Tensor:
        axis, size = self.axis % inputs.ndim, inputs.shape[self.axis]
        groups = size if self.groups == -1 else self.groups
        split = (groups, size // groups)  # one axis becomes two

        def grouped(shape: Any) -> tuple:
            return (*shape[:axis], *split, *shape[axis + 1 :])

        x = ops.cast(inputs, result_type(inputs.dtype, "float32"))
        x = x.reshape(grouped(inputs.shape))
        over = [i for i in range(1, x.ndim) if i != axis]
        mean, variance = ops.moments(x, over, keepdims=True)
        gain = grouped((1,) * inputs.ndim)
        factor = ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * self.gamma.value.reshape(gain)
        shift = -mean * factor
        if self.beta is not None:
            shift = shift + self.beta.value.reshape(gain)
        return ops.cast((x * factor + shift).reshape(inputs.shape), self.compute_dtype)


class RMSNormalization(Layer):
    """scale x / sqrt(mean(x²) + epsilon), over each sample's `axis`.

    Shapes: (batch, …) -> the same
    Weights: scale (the sizes of `axis`)
    References: arXiv:1910.07467
    """

    axis: Any = field(-1, _axes)
    epsilon: float = field(1e-6)

    def build(self, input_shape: Shape) -> None:
        shape = [known_size(input_shape, a, self) for a in _many(self.axis)]
        self.scale = self.weight("scale", shape, initializer="ones")

    def call(self, inputs: Tensor) -> Tensor:
        axes = {a % inputs.ndim for a in _many(self.axis)}
        shape = [n if i in axes else 1 for i, n in enumerate(inputs.shape)]
        scale = self.scale.value.reshape(shape)
        return ops.rms_normalization(inputs, scale, sorted(axes), self.epsilon)


class UnitNormalization(Layer):
    """x / sqrt(sum(x²)), over each sample's `axis`."""

    axis: Any = field(-1, _axes)

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return ops.normalize(inputs, _many(self.axis), 2, 1e-12)


class SpectralNormalization(Wrapper):
    """`layer`, its kernel divided by the largest singular value at each training step.

    Weights: vector_u (1, units), the iteration's estimate, and those of the layer
    References: arXiv:1802.05957
    """

    power_iterations: int = field(1, check=positive)

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        self.kernel = self._kernel()  # also one of its own weights, as in Keras's files
        self.vector_u = self.add_weight(
            shape=(1, self.kernel.shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
            name="vector_u",
            dtype=self.kernel.dtype,
        )
        self.input_spec = InputSpec(
            min_ndim=1, axes={-1: known_size(input_shape, -1, self)}
        )

    def _kernel(self) -> Variable:
        for name in ("kernel", "embeddings"):
            if hasattr(self.layer, name):
                return getattr(self.layer, name)
        raise ArgumentError(
            f"SpectralNormalization got {label(self.layer)}, which has neither a "
            "kernel nor embeddings."
        )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if training:
            self._normalize_kernel()
        return ops.cast(self.layer(inputs), inputs.dtype)

    def _normalize_kernel(self) -> None:
        kernel = self.kernel
        matrix = kernel.value.reshape(-1, kernel.shape[-1])
        u = self.vector_u.value
        for _ in range(self.power_iterations):
            v = ops.normalize(u @ matrix.T)
            u = ops.normalize(v @ matrix)
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        largest = v @ matrix @ u.T
        zero = ops.all(matrix == 0)  # nothing to divide by
        self.vector_u.assign(ops.where(zero, self.vector_u.value, u))
        kernel.assign(kernel.value / ops.where(zero, 1, largest[0, 0]))


__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "SpectralNormalization",
    "UnitNormalization",
]
