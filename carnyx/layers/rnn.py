"""Layers that run a cell over time. One loop serves them all.

`RNN` owns masks, direction, states that last, and the scan. `class LSTM(RNN,
cell=LSTMCell)` takes the cell's arguments as its own and makes the cell; the weights
live there. Cells of the library run whole sequences by the kernels of
`ops/recurrent.py` where these compute the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from carnyx import registry, regularizers, tree
from carnyx._core.naming import to_snake_case
from carnyx._core.variable import Variable
from carnyx.configurable import Field, attribute, derived, field
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers._steps import Loop, scan
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec, label
from carnyx.layers.rnn_cells import Cell
from carnyx.layers.stacked_rnn_cells import (
    StackedRNNCells,
    check_cell,
    initial_state,
    revived,
)
from carnyx.typing import Shape, Tensor


class RNN(Layer):
    """Runs a cell over time, axis 1: output, state = cell(xₜ, state).

    Shapes: (batch, time, …) -> (batch, units), with `return_sequences`
    (batch, time, units); with `return_state` a tuple of that and the last states

    Args:
        cell: has `call(inputs, states) -> (output, new_states)` and `state_size`; a
            list of cells is stacked.
        go_backwards: begin at the last step; the outputs are in that order too.
        stateful: begin each batch with the states that the last one left; the batch
            size is fixed.
        unroll: spell the loop out: a larger program, sometimes a faster one.
        zero_output_for_mask: zeros for masked steps, instead of the last output.

    >>> import numpy as np
    >>> class Sum(Layer):
    ...     state_size = 3
    ...     def call(self, x, states):
    ...         return x + states[0], [x + states[0]]
    >>> RNN(Sum())(np.ones((1, 4, 3))).tolist()
    [[4.0, 4.0, 4.0]]
    """

    cell: Any = field(convert=revived)
    return_sequences: bool = field(False)
    return_state: bool = field(False)
    go_backwards: bool = field(False)
    stateful: bool = field(False)
    unroll: bool = field(False)
    zero_output_for_mask: bool = field(False)

    supports_masking = True
    cell_class: type[Layer] | None = attribute(None)
    input_rank = 3
    # Values of the run, not weights: files and `weights` leave them out.
    _hidden_attributes = ("states",)

    def __init_subclass__(
        cls,
        cell: type[Layer] | None = None,
        **keywords: Any,
    ) -> None:
        if cell is not None:
            cls.cell_class = cell
            cls._fields = _fields_with(cell)
        super().__init_subclass__(**keywords)

    def __post_init__(self) -> None:
        if self.cell_class is not None:
            self.cell = self._make_cell(self.cell_class)
            self.input_spec = InputSpec(ndim=self.input_rank)
        elif isinstance(self.cell, list | tuple):
            self.cell = StackedRNNCells(self.cell)
        check_cell(self.cell, type(self).__name__)
        self.states: list[Any] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        made = vars(self).get("cell") if self.cell_class is not None else None
        if made is not None and name in type(made)._fields:
            setattr(made, name, getattr(self, name))  # the cell is what computes

    @derived
    def state_size(self) -> list[Any]:
        """The sizes of the cell's states, one or more."""
        size = self.cell.state_size
        return list(size) if isinstance(size, list | tuple) else [size]

    def _make_cell(self, cell: type[Layer]) -> Layer:
        return cell(
            **{name: getattr(self, name) for name in cell._fields},
            dtype=self.dtype_policy,
            trainable=self._trainable,
            name=to_snake_case(cell.__name__),
        )

    def get_config(self) -> dict[str, Any]:
        fields = RNN._fields if self.cell_class is None else self._fields
        config = {n: getattr(self, n) for n, f in fields.items() if f.in_config}
        return super().get_config() | registry.serialize_dict(config)

    # ---- states

    def build(self, sequences_shape: Shape, initial_state_shape: object = None) -> None:
        if self.unroll and sequences_shape[1] is None:
            raise ShapeError(
                f"{label(self)} got shape {sequences_shape}; unroll=True needs a known "
                "number of steps. Give it in Input(shape=(time, features))."
            )
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
        if self.cell_class is not None and self.input_rank == 3:
            self.input_spec = InputSpec(ndim=3, axes={-1: sequences_shape[-1]})
        if self.stateful:
            self._make_states(sequences_shape)

    def _make_states(self, sequences_shape: Shape) -> None:
        if sequences_shape[0] is None:
            raise ShapeError(
                f"{label(self)} got shape {sequences_shape}; stateful=True needs a "
                "known batch size. Give it in Input(batch_size=...)."
            )
        with jax.ensure_compile_time_eval():  # a trace may be what builds the layer
            first = self.get_initial_state(sequences_shape[0])
        self.states = tree.map_structure(
            lambda value: Variable(
                value, dtype=self.variable_dtype, trainable=False, name="rnn_state"
            ),
            first,
        )

    def _run_variables(self) -> list[Variable]:
        return tree.flatten(self.states) if self.states else []

    def get_initial_state(self, batch_size: int | None) -> list[Any]:
        """The states that a sequence begins with when none are given."""
        states = initial_state(self.cell, batch_size, self.compute_dtype)
        return list(states) if tree.is_nested(states) else [states]

    def reset_state(self) -> None:
        """Let the next batch begin with zeros."""
        for variable in self._run_variables():
            variable.assign(jnp.zeros(variable.shape))

    reset_states = reset_state

    def _first_states(self, sequences: Tensor, given: Any) -> list[Any]:
        batch = sequences.shape[0]
        if self.stateful and self.states:
            size = tree.flatten(self.states)[0].shape[0]
            if isinstance(batch, int) and batch != size:
                raise ShapeError(
                    f"{label(self)} got a batch of {batch}, but it is stateful and was "
                    f"built for batches of {size}."
                )
            given = self.states if given is None else given
        states = self.get_initial_state(batch) if given is None else given
        states = list(states) if tree.is_nested(states) else [states]
        if len(states) != len(self.state_size):
            raise ArgumentError(
                f"{label(self)} got {len(states)} initial states; its cell has "
                f"{len(self.state_size)}: {self.state_size}."
            )
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        return tree.map_structure(
            lambda s: jnp.asarray(getattr(s, "value", s), dtype), states
        )

    # ---- the run

    def call(
        self,
        sequences: Tensor,
        initial_state: Tensor | None = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        states = self._first_states(sequences, initial_state)
        mask = tree.flatten(mask)[0]
        mask = None if mask is None else jnp.asarray(mask, bool)
        run = self.inner_loop(sequences, states, mask, bool(training))
        last, outputs, states = tree.map_structure(
            lambda x: x.astype(self.compute_dtype), run
        )
        if self.stateful:
            new = tree.flatten(states)
            for variable, value in zip(self._run_variables(), new, strict=True):
                variable.assign(value)
        output = outputs if self.return_sequences else last
        return (output, *states) if self.return_state else output

    def inner_loop(
        self,
        sequences: Tensor,
        initial_state: Tensor,
        mask: Tensor,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, list[Any]]:
        """Last output, outputs, last states."""
        if self._fits_kernel(training):
            return self.cell.sequence(
                sequences,
                initial_state,
                training,
                mask=mask,
                reverse=self.go_backwards,
                zero_output_for_mask=self.zero_output_for_mask,
            )
        with self._held_masks(sequences, initial_state, training):
            loop = Loop(self.cell)
            last, outputs, states, values, losses = scan(
                self._step(loop, training),
                sequences,
                loop.values,
                initial_state,
                mask,
                reverse=self.go_backwards,
                unroll=self.unroll,
                zero_output_for_mask=self.zero_output_for_mask,
            )
            loop.finish(values, losses)
        return last, outputs, states

    def _fits_kernel(self, training: bool) -> bool:
        """Whether the cell's own way through a sequence computes the same."""
        cell = self.cell
        fits = (
            isinstance(cell, Cell)
            and cell.can_sequence(training)
            and not self.unroll
            and cell.compute_dtype == self.compute_dtype
            and cell.activity_regularizer is None
        )
        wanted = getattr(self, "use_cudnn", "auto")  # LSTM and GRU let users choose
        if wanted is True and not fits:
            raise ArgumentError(
                f"{label(self)} got use_cudnn=True, but unroll, recurrent_dropout in "
                "training, or a changed cell need the loop over steps; use 'auto'."
            )
        return fits and wanted is not False

    def _held_masks(self, sequences: Tensor, states: Any, training: bool) -> Any:
        if not hasattr(self.cell, "held_masks"):
            return contextlib.nullcontext()
        shape = sequences.shape[:1] + sequences.shape[2:]
        return self.cell.held_masks(shape, states, training)

    def _step(self, loop: Loop, training: bool) -> Callable[..., Any]:
        cell = self.cell
        call: Any = cell if callable(cell) else cell.call
        how = {"training": training} if isinstance(cell, Layer) else {}

        def one(x: Tensor, states: Any) -> Any:
            output, new = call(x, states, **how)
            return output, tree.pack_sequence_as(states, tree.flatten(new))

        def step(values: Any, x: Tensor, states: Any) -> Any:
            (output, new), values, losses = loop(values, one, x, states)
            return output, new, values, losses

        return step

    def compute_mask(self, inputs: Tensor, mask: Tensor) -> Tensor:
        mask = tree.flatten(mask)[0] if self.return_sequences else None
        return [mask] + [None] * len(self.state_size) if self.return_state else mask


def _fields_with(cell: type[Layer]) -> dict[str, Field]:
    """The arguments of a layer around one cell: the cell's, then those of the run."""
    fields: dict[str, Field] = {}
    for name, declared in cell._fields.items():
        fields[name] = declared
        if name == "bias_regularizer":
            fields["activity_regularizer"] = field(None, regularizers.get)
    fields |= {name: f for name, f in RNN._fields.items() if name != "cell"}
    fields["zero_output_for_mask"] = field(False, kw_only=True)
    for name, declared in fields.items():
        declared.name = name
    return fields


__all__ = ["RNN"]
