"""Recurrent cells: one time step each. `RNN` (recurrent.py) owns the loop over time.

A cell is anything with `state_size` and `call(inputs, states) -> (output, states)`.
The three here share their arguments, weights and dropout (`Cell`) and differ in their
equations; `sequence` runs the same equations over whole sequences at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp

from carnyx import (
    activations,
    constraints,
    initializers,
    random,
    regularizers,
    tree,
)
from carnyx._core.scope import scoped
from carnyx._core.seed import SeedGenerator
from carnyx.configurable import attribute, derived, field, fraction, positive
from carnyx.layers._sizes import known_size
from carnyx.layers.base import Layer
from carnyx.ops import recurrent
from carnyx.ops._creation import zeros
from carnyx.typing import Shape, Tensor

Masks = list[Tensor] | None  # what is dropped: once for all gates, or one a gate


class Cell(Layer):
    """What the cells share: kernels for inputs and states, a column block a gate.

    Args:
        dropout: the share of inputs dropped, the same ones at every step of a
            sequence; `recurrent_dropout` that of the states, for each gate anew.
    """

    activation: Any = field("tanh", activations.get)
    use_bias: bool = field(True)
    kernel_initializer: Any = field("glorot_uniform", initializers.get)
    recurrent_initializer: Any = field("orthogonal", initializers.get)
    bias_initializer: Any = field("zeros", initializers.get)
    kernel_regularizer: Any = field(None, regularizers.get)
    recurrent_regularizer: Any = field(None, regularizers.get)
    bias_regularizer: Any = field(None, regularizers.get)
    kernel_constraint: Any = field(None, constraints.get)
    recurrent_constraint: Any = field(None, constraints.get)
    bias_constraint: Any = field(None, constraints.get)
    dropout: float = field(0.0, check=fraction)
    recurrent_dropout: float = field(0.0, check=fraction)
    seed: Any = field(None)

    field_order = (
        "units", "activation", "recurrent_activation", "use_bias",
        "kernel_initializer", "recurrent_initializer", "bias_initializer",
        "unit_forget_bias", ..., "dropout", "recurrent_dropout", "reset_after", "seed",
    )  # fmt: skip
    gates = 1
    masks_each_gate = False  # whether inputs too are dropped for each gate anew
    channel_axis = -1
    units: Any = attribute(0)
    state_size = derived(lambda self: self.units)
    output_size = derived(lambda self: self.units)

    def __post_init__(self) -> None:
        self.seed_generator = SeedGenerator(self.seed)
        self._held_masks: tuple[Any, Any] | None = None

    def build(self, input_shape: Shape) -> None:
        width = self.gates * self.units
        features = known_size(input_shape, -1, self)
        self._make_weights((features, width), (self.units, width), (width,))

    def _make_weights(self, kernel: Any, recurrent: Any, bias: Any) -> None:
        self.kernel = self.weight("kernel", kernel)
        self.recurrent_kernel = self.weight(
            "recurrent_kernel",
            recurrent,
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = None
        if self.use_bias:
            first = self._first_bias
            self.bias = self.weight("bias", bias, initializer=first)

    def _first_bias(self, shape: Shape, dtype: Any = None) -> Tensor:
        return self.bias_initializer(shape, dtype=dtype)

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        """Zeros, one array a state."""
        sizes = tree.flatten(self.state_size)
        return [zeros((batch_size, n), self.compute_dtype) for n in sizes]

    # ---- dropout

    def _draw_masks(self, x_shape: Shape, h_shape: Shape, training: bool) -> tuple:
        """What inputs and states are multiplied by: an array, one a gate, or None."""
        each = self.recurrent_dropout or self.masks_each_gate
        count = self.gates if each else 1

        def draw(rate: float, shape: Shape) -> list[Tensor] | None:
            if not (training and 0 < rate < 1):
                return None
            ones = jnp.ones(shape, self.compute_dtype)
            seed = self.seed_generator
            return [random.dropout(ones, rate, seed=seed) for _ in range(count)]

        return draw(self.dropout, x_shape), draw(self.recurrent_dropout, h_shape)

    @contextlib.contextmanager
    def held_masks(self, x_shape: Shape, states: Any, training: bool) -> Iterator[None]:
        """Within it, every step drops the same inputs and states."""
        self._held_masks = self._draw_masks(x_shape, states[0].shape, training)
        try:
            yield
        finally:
            self._held_masks = None

    def _masks(self, x: Tensor, h: Tensor, training: bool) -> tuple:
        return self._held_masks or self._draw_masks(x.shape, h.shape, training)

    def _product(
        self,
        x: Tensor,
        kernel: Tensor,
        masks: Masks,
        multiply: Callable[[Tensor, Tensor], Tensor] = jnp.matmul,
    ) -> Tensor:
        """x @ kernel, where each gate may see an x with other parts dropped."""
        kernel = getattr(kernel, "value", kernel)
        if masks is None:
            return multiply(x, kernel)
        blocks = zip(masks, jnp.split(kernel, len(masks), -1), strict=True)
        products = [multiply(x * mask, block) for mask, block in blocks]
        return jnp.concatenate(products, self.channel_axis)

    def _from_x(self, x: Tensor, masks: Masks) -> Tensor:
        y = self._product(x, self.kernel, masks)
        return y if self.bias is None else y + self.bias

    def _from_h(self, h: Tensor, masks: Masks) -> Tensor:
        return self._product(h, self.recurrent_kernel, masks)

    def _activations(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """What the cell's step takes as functions, by name."""
        names = ("activation", "recurrent_activation")
        return {name: getattr(self, name) for name in names if name in self._fields}

    # ---- whole sequences

    def _kernel(self, *args: Any, **how: Any) -> Any:
        """The cell's function of `ops/recurrent.py` for whole sequences."""
        raise NotImplementedError

    def can_sequence(self, training: bool) -> bool:
        """Whether `sequence` computes what the steps would."""
        plain = not (training and self.recurrent_dropout)
        both = ({"call", "_kernel"} & vars(c).keys() for c in type(self).__mro__)
        # A class that changes `call` alone is above the one with the kernel.
        return plain and "_kernel" in next(names for names in both if names)

    def sequence(
        self, x: Tensor, states: Sequence[Tensor], training: bool, **how: Any
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """All steps: last output, outputs, last states.

        Args:
            how: `mask`, `reverse`, `zero_output_for_mask`.
        """
        dropped = self._masks(x[:, 0], states[0], training)[0]
        if dropped is not None:
            x = x * dropped[0][:, None]
        with scoped(autocast=self._autocast):  # the cell's policy, not its layer's
            bias = None if self.bias is None else self.bias.value
            weights = self.kernel.value, self.recurrent_kernel.value, bias
        return self._kernel(x, *states, *weights, **self._activations(), **how)


class SimpleRNNCell(Cell):
    """h = activation(x W + h U + b).

    Shapes: (batch, features), [(batch, units)] -> (batch, units), [(batch, units)]
    Weights: kernel W (features, units), recurrent_kernel U (units, units), bias
    """

    units: int = field(check=positive)

    def call(self, sequence: Tensor, states: Any, training: bool = False) -> tuple:
        h = states[0] if tree.is_nested(states) else states
        x_masks, h_masks = self._masks(sequence, h, training)
        h = self.activation(self._from_x(sequence, x_masks) + self._from_h(h, h_masks))
        return h, [h] if tree.is_nested(states) else h

    def _kernel(self, *args: Any, **how: Any) -> Any:
        return recurrent.simple_rnn(*args, **how)


class LSTMGates(Cell):
    """What an LSTM does with its gates, whatever makes them."""

    recurrent_activation: Any = field("sigmoid", activations.get)
    unit_forget_bias: bool = field(True)

    gates = 4

    state_size = derived(lambda self: [self.units, self.units])

    def _first_bias(self, shape: Shape, dtype: Any = None) -> Tensor:
        if not self.unit_forget_bias:
            return self.bias_initializer(shape, dtype=dtype)
        before = self.bias_initializer((self.units,), dtype=dtype)
        after = self.bias_initializer((2 * self.units,), dtype=dtype)
        return jnp.concatenate([before, jnp.ones(self.units, dtype), after])

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> tuple:
        h, c = states
        x_masks, h_masks = self._masks(inputs, h, training)
        z = self._from_x(inputs, x_masks) + self._from_h(h, h_masks)
        axis = self.channel_axis
        h, c = recurrent.lstm_step(z, h, c, axis=axis, **self._activations())
        return h, [h, c]


class LSTMCell(LSTMGates):
    """c = f c + i g, h = o activation(c), the gates i, f, g, o from x W + h U + b.

    Shapes: (batch, features), [h, c] -> (batch, units), [h, c]
    Weights: kernel W (features, 4 units), recurrent_kernel U (units, 4 units), bias

    Args:
        unit_forget_bias: the forget gate's bias begins at 1 (Jozefowicz et al. 2015,
            PMLR 37).

    References: Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735
    """

    units: int = field(check=positive)

    def _kernel(self, *args: Any, **how: Any) -> Any:
        return recurrent.lstm(*args, **how)


class GRUCell(Cell):
    """h = z h + (1 - z) n, the gates z, r and the candidate n from x W and h U.

    Shapes: (batch, features), [(batch, units)] -> (batch, units), [(batch, units)]
    Weights: kernel W (features, 3 units), recurrent_kernel U (units, 3 units), bias
    (2, 3 units), (3 units,) where the reset comes before

    Args:
        reset_after: n = activation(x Wₙ + r (h Uₙ)), as cuDNN has it; else
            activation(x Wₙ + (r h) Uₙ), as in the paper.

    References: Cho et al. 2014, arXiv:1406.1078
    """

    units: int = field(check=positive)
    recurrent_activation: Any = field("sigmoid", activations.get)
    reset_after: bool = field(True)

    gates = 3

    def build(self, input_shape: Shape) -> None:
        width = 3 * self.units
        features = known_size(input_shape, -1, self)
        bias = (2, width) if self.reset_after else (width,)
        self._make_weights((features, width), (self.units, width), bias)

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> tuple:
        h = states[0] if tree.is_nested(states) else states
        x_masks, h_masks = self._masks(inputs, h, training)
        from_x = self._product(inputs, self.kernel, x_masks)
        if self.bias is not None:
            from_x = from_x + (self.bias[0] if self.reset_after else self.bias)
        step = self._reset_after if self.reset_after else self._reset_before
        h = step(from_x, h, h_masks)
        return h, [h] if tree.is_nested(states) else h

    def _reset_after(self, from_x: Tensor, h: Tensor, masks: Masks) -> Tensor:
        from_h = self._product(h, self.recurrent_kernel, masks)
        from_h = from_h if self.bias is None else from_h + self.bias[1]
        return recurrent.gru_step((from_x, from_h), h, **self._activations())[0]

    def _reset_before(self, from_x: Tensor, h: Tensor, masks: Masks) -> Tensor:
        kernel = self.recurrent_kernel.value
        gates, candidate = jnp.split(kernel, [2 * self.units], -1)
        of_gates, of_candidate = (
            (None, None) if masks is None else (masks[:2], masks[2:])
        )
        return recurrent.gru_step_reset_before(
            from_x,
            h,
            lambda h: self._product(h, gates, of_gates),
            lambda h: self._product(h, candidate, of_candidate),
            **self._activations(),
        )

    def _kernel(self, *args: Any, **how: Any) -> Any:
        return recurrent.gru(*args, reset_after=self.reset_after, **how)


__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell"]
