"""Layers around a layer: over every step of a sequence, and in both directions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from carnyx import ops, registry, tree
from carnyx._core.seed import SeedGenerator
from carnyx._core.symbol import KerasTensor
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers import _call
from carnyx.layers._children import seed_generators
from carnyx.layers._steps import Loop
from carnyx.layers.base import Layer
from carnyx.layers.core import Wrapper
from carnyx.layers.input_spec import label
from carnyx.layers.stacked_rnn_cells import revived
from carnyx.typing import Shape, Tensor


class TimeDistributed(Wrapper):
    """Applies a layer to every step, with the same weights: yₜ = layer(xₜ).

    The steps run side by side (`jax.vmap`), each with random numbers of its own. In
    training, a layer that keeps statistics or states runs step by step instead, since
    each step begins with what the last one left.

    Shapes: (batch, time, …) -> (batch, time, …)

    >>> import numpy as np
    >>> from carnyx.layers import Dense
    >>> TimeDistributed(Dense(4))(np.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    supports_masking = True

    def build(self, input_shape: Shape) -> None:
        super().build(self._step_shape(input_shape))

    def compute_output_spec(
        self,
        inputs: KerasTensor,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Any:
        """Symbolic outputs: the layer's own, in its dtype, with the axis of time."""
        given = KerasTensor(self._step_shape(inputs.shape), inputs.dtype)
        (step,), _ = self.layer._convert((given,), {})
        time = inputs.shape[1]
        return tree.map_structure(
            lambda t: KerasTensor((t.shape[0], time, *t.shape[1:]), t.dtype),
            self.layer.compute_output_spec(step),
        )

    def _step_shape(self, shape: Shape) -> Shape:
        if len(shape) < 3:
            raise ShapeError(
                f"{label(self)} got shape {shape}; expected (batch, time, …), rank 3 "
                "or more."
            )
        return (shape[0], *shape[2:])

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        self._check_mask(inputs, mask)
        takes_mask = _call.signature_of(type(self.layer).call).takes("mask")
        mask = jnp.asarray(mask) if takes_mask and mask is not None else None
        loop = Loop(self.layer)

        def step(values: Any, x: Tensor, m: Any) -> Any:
            how = {} if m is None else {"mask": m}
            return loop(values, lambda: self.layer(x, training=training, **how))

        run = self._one_by_one if self._depends(training) else self._side_by_side
        return run(loop, step, inputs, mask)

    def _check_mask(self, inputs: Tensor, mask: Any) -> None:
        if mask is None:
            return
        pairs = zip(mask.shape[:2], inputs.shape[:2], strict=False)
        same = [m == n for m, n in pairs if isinstance(m, int) and isinstance(n, int)]
        if mask.ndim < 2 or not all(same):
            raise ShapeError(
                f"{label(self)} got a mask of shape {tuple(mask.shape)} for inputs of "
                f"shape {tuple(inputs.shape)}; expected (batch, time)."
            )

    def _depends(self, training: Any) -> bool:
        """Whether a step begins with what the last one left."""
        seeds = {id(g.state) for g in self._generators()}
        kept = [v for v in self.layer.non_trainable_variables if id(v) not in seeds]
        stateful = any(x._run_variables() for x in self.layer._flatten_layers())
        return stateful or bool(training and kept)

    def _generators(self) -> list[SeedGenerator]:
        return [g for x in self.layer._flatten_layers() for g in seed_generators(x)]

    def _side_by_side(self, loop: Loop, step: Any, inputs: Tensor, mask: Any) -> Any:
        generators = {id(g.state): g for g in self._generators()}
        found = [generators.get(id(v)) for v in loop.variables]
        axes = [None if generator is None else 0 for generator in found]
        steps = jnp.arange(inputs.shape[1])
        each = jax.vmap(jax.random.fold_in, (None, 0))
        values = [
            value if generator is None else each(value, steps)
            for generator, value in zip(found, loop.values, strict=True)
        ]
        drawn: list[SeedGenerator] = []

        def one(values: Any, x: Tensor, m: Any) -> Any:
            out, new, losses = step(values, x, m)
            drawn[:] = [g for g, a, b in zip(found, values, new) if g and a is not b]
            return out, losses

        where = None if mask is None else 1
        out, losses = jax.vmap(one, (axes, 1, where), (1, 0))(values, inputs, mask)
        for generator in drawn:
            generator.next()
        loop.add_losses(losses)
        return out

    def _one_by_one(self, loop: Loop, step: Any, inputs: Tensor, mask: Any) -> Any:
        values, outputs, losses = loop.values, [], []
        for t in range(inputs.shape[1]):
            m = None if mask is None else mask[:, t]
            out, values, added = step(values, inputs[:, t], m)
            outputs.append(out)
            losses.append(added)
        loop.finish(values, [jnp.stack(each) for each in zip(*losses, strict=True)])
        return tree.map_structure(lambda *steps: jnp.stack(steps, 1), *outputs)


MERGES = {
    "concat": lambda y, back: ops.concatenate([y, back], -1),
    "sum": ops.add,
    "mul": ops.multiply,
    "ave": lambda y, back: (y + back) / 2,
    None: lambda y, back: (y, back),
}


class Bidirectional(Layer):
    """A recurrent layer forwards and a copy of it backwards, their outputs merged.

    Shapes: (batch, time, …) -> (batch, 2 units), or (batch, time, 2 units)

    Args:
        layer: an `RNN`, or a layer like it; it is copied, not used itself.
        merge_mode: "concat", "sum", "mul", "ave", or None for a tuple of both.
        weights: first values of both layers' weights, those of `layer` first.
        backward_layer: instead of the copy, used as it is; its `go_backwards` must
            differ from the layer's.

    References: Schuster & Paliwal 1997, doi:10.1109/78.650093

    >>> import numpy as np
    >>> from carnyx.layers import LSTM
    >>> Bidirectional(LSTM(4), merge_mode="sum")(np.ones((2, 5, 3))).shape
    (2, 4)
    """

    supports_masking = True

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        layer, backward_layer = revived(layer), revived(backward_layer)
        _check_arguments(layer, merge_mode, backward_layer)
        super().__init__(**kwargs)
        self.merge_mode = merge_mode
        self.forward_layer = _copy(layer, "forward")
        self.backward_layer = backward_layer
        if backward_layer is None:
            self.backward_layer = _copy(layer, "backward", go_backwards=True)
        self._check_directions()
        for one in self._both():
            if hasattr(one, "zero_output_for_mask"):
                one.zero_output_for_mask = one.return_sequences
        if weights is not None:
            half = len(weights) // 2
            self.forward_layer._initial_weights = weights[:half]
            self.backward_layer._initial_weights = weights[half:]
        self.stateful, self.return_state = layer.stateful, layer.return_state
        self.return_sequences = layer.return_sequences
        self.input_spec = layer.input_spec

    def _both(self) -> tuple[Any, Any]:
        return self.forward_layer, self.backward_layer

    def _check_directions(self) -> None:
        forward, backward = self._both()
        same = ("stateful", "return_sequences", "return_state")
        for name in (*same, "go_backwards"):
            values = getattr(forward, name), getattr(backward, name)
            if (values[0] == values[1]) != (name in same):
                raise ArgumentError(
                    f"Bidirectional got layers with {name}={values[0]} and "
                    f"{values[1]}; expected {'equal' if name in same else 'unlike'} "
                    "values."
                )

    def get_config(self) -> dict[str, Any]:
        both = {"layer": self.forward_layer, "backward_layer": self.backward_layer}
        config = {"merge_mode": self.merge_mode} | registry.serialize_dict(both)
        return super().get_config() | config

    def build(self, sequences_shape: Shape, initial_state_shape: object = None) -> None:
        for layer in self._both():
            if not layer.built:
                layer.build(sequences_shape)

    @property
    def states(self) -> tuple[Any, ...] | None:
        """The lasting states of both directions, or None."""
        states = [layer.states for layer in self._both()]
        return None if None in states else tuple(s for each in states for s in each)

    def reset_state(self) -> None:
        """Let the next batch begin with zeros."""
        for layer in self._both():
            layer.reset_state()

    reset_states = reset_state

    def call(
        self,
        sequences: Tensor,
        initial_state: Tensor | None = None,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        given: tuple[Any, Any] = (None, None)
        if initial_state is not None:
            half = len(initial_state) // 2
            given = initial_state[:half], initial_state[half:]
        y, back = (
            self._run(layer, sequences, state, mask, training)
            for layer, state in zip(self._both(), given, strict=True)
        )
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*y[1:], *back[1:])
            y, back = y[0], back[0]
        y, back = y.astype(self.compute_dtype), back.astype(self.compute_dtype)
        if self.return_sequences:
            back = jnp.flip(back, 1)
        output = MERGES[self.merge_mode](y, back)
        if not self.return_state:
            return output
        return (*output, *states) if self.merge_mode is None else (output, *states)

    def _run(
        self, layer: Any, sequences: Tensor, state: Any, mask: Any, training: Any
    ) -> Any:
        how = {"initial_state": state, "mask": mask, "training": training}
        signature = _call.signature_of(type(layer).call)
        taken = {k: v for k, v in how.items() if signature.takes(k) and v is not None}
        return layer(sequences, **taken)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        mask = tree.flatten(mask)[0] if self.return_sequences else None
        masks = [mask] * (2 if self.merge_mode is None else 1)
        if self.return_state:
            count = len(self.forward_layer.state_size)
            count += len(self.backward_layer.state_size)
            masks += [None] * count
        return masks if len(masks) > 1 else mask


def _check_arguments(layer: Any, merge_mode: Any, backward_layer: Any) -> None:
    for name, value in (("layer", layer), ("backward_layer", backward_layer)):
        if not isinstance(value, Layer) and not (name != "layer" and value is None):
            wanted = "a layer" if name == "layer" else "a layer or None"
            raise ArgumentError(
                f"Bidirectional got {name}={value!r}; expected {wanted}."
            )
        if value is not None and not hasattr(value, "return_sequences"):
            raise ArgumentError(
                f"Bidirectional got {name}={value!r}; expected a recurrent layer, such "
                "as LSTM or RNN, which has go_backwards and return_sequences."
            )
    if merge_mode not in MERGES:
        raise ArgumentError(
            f"Bidirectional got merge_mode={merge_mode!r}; expected one of "
            f"{', '.join(repr(m) for m in MERGES)}."
        )


def _copy(layer: Any, direction: str, **changes: Any) -> Any:
    """A layer of the same config, named after the direction; its weights are new."""
    name = layer.name.removeprefix(f"{direction}_")
    config = layer.get_config() | {"name": f"{direction}_{name}"} | changes
    copy = type(layer).from_config(config)
    if hasattr(layer, "use_cudnn"):  # no part of the config
        copy.use_cudnn = layer.use_cudnn
    return copy


__all__ = ["Bidirectional", "TimeDistributed"]
