"""What the parts of training ask of each other, written down.

`fit` drives a `Program` over a `BatchSource`; a program is made from a `Trainable`, by
the model's placement where it has one. Whatever has these methods can stand in: nothing
here is asked what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from carnyx._core.placement import Placement
from carnyx._core.variable import Variable
from carnyx._training.state import HeldState
from carnyx.typing import Tensor, Tensors

Batch = Any
"""`(x, y, sample_weight)` or its beginning; each a tree of arrays."""

Logs = dict[str, Any]
"""Loss and metrics by name, on a device."""


class Program(Protocol):
    """A step of training or evaluation, ready to run on the values of a `HeldState`.

    `StepProgram` is one compiled function; `StagedProgram` and `WholeStep` are steps on
    several devices. A placement makes the one that it needs (`make_program`).

    Attributes:
        held: the variables, whose values a step replaces.
    """

    held: HeldState

    @property
    def compiled(self) -> bool:
        """False where steps run op by op."""
        ...

    @property
    def placement(self) -> Placement | None:
        """Where values and batches lie; None is on one device."""
        ...

    def __call__(self, batch: Batch) -> Logs:
        """`start` on what `put` gives."""
        ...

    def put(self, batch: Batch, axis: int = 0) -> Any:
        """A batch (samples along `axis`) on its way to where the program wants it."""
        ...

    def start(self, batches: Batch, *places: int) -> Logs:
        """Hand over the step on a batch that was `put`, or on the one at a place of a
        stack, or those from a first place up to a second in one dispatch; does not wait
        for them. The last one's logs."""
        ...

    def is_idle(self) -> bool:
        """Whether the device has done all that it was given."""
        ...

    def steps_in_chunk(self, batch: Batch) -> int:
        """How many steps on batches like this to run in one dispatch."""
        ...

    def captured(self) -> Sequence[Variable]:
        """Variables that no model has and the step reads or assigns."""
        ...

    def meet(self, batch: Batch) -> None:
        """Find `captured` from the shapes of a batch."""
        ...

    def lower(self, batch: Batch) -> Any:
        """The one program of a step, lowered (`jax.stages.Lowered`); None where a step
        is several programs."""
        ...

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        ...


class BatchSource(Protocol):
    """Where batches come from; `_data.Feed` is its base.

    Attributes:
        name: for messages.
        length: batches an epoch; None where only the end will tell.
        batch_size: None where it is not known.
    """

    name: str
    length: int | None
    batch_size: int | None

    def spec(self) -> Batch:
        """A batch as symbolic tensors; takes no data away."""
        ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the `start`-th on."""
        ...

    def position(
        self, index: int | None = None, epoch: int | None = None
    ) -> dict[str, Any]:
        """Plain data from which `restore` goes on exactly."""
        ...

    def restore(self, position: dict[str, Any]) -> None:
        """Go to a position."""
        ...


class Trainable(Protocol):
    """What steps ask of a model: its variables, and what it computes with a batch.

    Those with an underscore belong to the library and are defined in `Steps`,
    `ModelPrograms` and `Functional`; users override the others.

    Attributes:
        optimizer: of `compile`.
        jit_compile: False runs steps op by op.
    """

    name: str
    optimizer: Any
    jit_compile: bool
    trainable_variables: list[Variable]
    non_trainable_variables: list[Variable]
    metrics_variables: list[Variable]

    def compute_loss(
        self,
        x: Tensors,
        y: Tensors,
        y_pred: Tensor,
        sample_weight: Tensor,
        training: bool = True,
    ) -> Any:
        """The scalar to minimise, of a whole batch."""
        ...

    def compute_metrics(
        self,
        x: Tensors,
        y: Tensors,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Logs:
        """Update metrics with a whole batch; all results."""
        ...

    def _loss(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool
    ) -> Any:
        """`compute_loss` in any form in which a class may have written it."""
        ...

    def _update_metrics(
        self, values: Any, loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[Logs, list[Any]]:
        """Logs and new states of metrics, as a pure function."""
        ...

    def _calls_graph(self) -> bool:
        """Whether a call of the model is that of its graph, and nothing else."""
        ...

    def _flat_inputs(self, inputs: Any) -> list[Any]:
        """The values for the graph's inputs, in order."""
        ...

    def _entered(self, value: Any, symbol: Any) -> Any:
        """A value for an input as the first layers get it."""
        ...

    def _packed(self, flat: list[Any]) -> Any:
        """The outputs in the structure in which the model gives them."""
        ...
