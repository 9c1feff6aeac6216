"""Pipelines: a model cut into stages on devices of their own."""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from carnyx._core.devices import device_name, find_device
from carnyx._core.naming import auto_name
from carnyx._core.placement import current_placement, expect_placements
from carnyx.distribution.base import Distribution
from carnyx.distribution.mesh import list_devices, listed
from carnyx.distribution.pipeline_report import PipelineReport
from carnyx.distribution.schedule import balance
from carnyx.errors import ArgumentError, DeviceError, GraphError

_COSTS = "estimated", "measured"


class Pipeline:
    """A Sequential or functional model whose layers are spread over devices.

    The model is cut into consecutive stages of equal cost; a batch is cut into
    microbatches, which pass through the stages one behind the other, so that the
    devices work at the same time: all microbatches forward, then all back. Between the
    two, loss and metrics are computed once on the whole batch, as on one device:
    whatever they are. A last batch with fewer samples than microbatches is cut into
    single samples.

    It is used as the model is: `compile`, `fit`, `evaluate`, `predict`, `save`, … are
    those of `model`, which shares its layers and weights with the one that was given;
    saving either saves both.

    Numbers are those of one device, but for layers that look at the samples of a batch
    together: batch normalization takes its statistics over a microbatch, and dropout
    draws for one microbatch after the other. Scalar losses that layers add are taken
    to be means over samples. A layer in two stages that changes its state does so in
    the order in which microbatches pass. `microbatches=1` gives the very steps of one
    device. A `train_step` of the model's own runs where the loss is computed; what it
    calls passes through the stages.

    Args:
        model: a built model; it is not changed.
        stages: how many; by default as many as there are devices.
        microbatches: into how many parts to cut a batch; the more there are, the less
            the devices wait.
        devices: one for each stage, by name; by default the first that there are.
        costs: by what to balance the stages: `"estimated"` counts floating-point
            operations, `"measured"` runs each layer on its own; or a number for each
            of `calls`.
        remat: keep of each microbatch what enters a stage, and compute the rest again
            on its way back: a forward pass more, for memory that hardly grows with the
            number of microbatches.

    Attributes:
        model: the model to train; what a `Pipeline` does not have itself is its.
        calls: names of what the model's graph computes, in order.

    Raises:
        DeviceError: for more stages than devices.
        ArgumentError: for more stages than there are calls that cost something, and in
            `fit` for more microbatches than a batch has samples.

    References: Huang et al. 2018, GPipe, arXiv:1811.06965

    >>> import carnyx as keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> pipeline = Pipeline(model, stages=1, microbatches=2)
    >>> pipeline.compile("sgd", "mse")
    >>> pipeline.layers[0] is model.layers[0]
    True
    """

    def __init__(
        self,
        model: Any,
        stages: int | None = None,
        microbatches: int = 8,
        devices: Sequence[Any] | str | None = None,
        costs: str | Sequence[float] | None = "estimated",
        remat: bool = False,
    ) -> None:
        own = self.__dict__
        own["microbatches"] = _positive("microbatches", microbatches)
        own["devices"] = _chosen(stages, devices)
        own["_plan"] = _plan_of(
            model, self.devices, self.microbatches, _checked(costs), bool(remat)
        )
        shared = copy.copy(model)
        shared.name = auto_name(type(model).__name__)
        shared._compiled = shared._predictor = shared.optimizer = None
        shared._placement = self._plan.placement
        shared._fixed_by = "a Pipeline, which has cut it into stages"
        own["model"] = shared
        expect_placements()

    @property
    def calls(self) -> list[str]:
        """Names of what the graph computes, in order; `costs` has a number for each."""
        return self._plan.calls

    @property
    def stages(self) -> list[list[str]]:
        """For each stage the names of what it computes."""
        return self._plan.names

    def report(self, batch_size: int | None = None) -> PipelineReport:
        """Stages, their memory, and how long they wait; print it.

        Args:
            batch_size: by default that of the last training, else 32 (or a sample a
                microbatch, if that is more).
        """
        if batch_size is not None:
            batch_size = _positive("batch_size", batch_size)
            self._plan.placement.check_batch(batch_size)
        return self._plan.report(self.model, batch_size)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "model" not in self.__dict__:
            raise AttributeError(f"Pipeline has no attribute {name!r}.")
        return getattr(self.model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ or hasattr(type(self), name):
            raise AttributeError(
                f"{name!r} of a Pipeline cannot be set; make another Pipeline."
            )
        setattr(self.model, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def __repr__(self) -> str:
        return (
            f"<Pipeline of {self.model.name!r}: {len(self.devices)} stages, "
            f"{self.microbatches} microbatches>"
        )


def _positive(name: str, value: Any) -> int:
    try:
        found = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = 0
    if found < 1:
        raise ArgumentError(
            f"Pipeline got {name}={value!r}; expected a whole number, 1 or more."
        )
    return found


def _chosen(stages: Any, devices: Any) -> list[Any]:
    """A device for each stage."""
    count = None if stages is None else _positive("stages", stages)
    if devices is None:
        there = list_devices()
        count = count or len(there)
        if count > len(there):
            raise DeviceError(
                f"Pipeline got stages={count}; this machine has {len(there)} devices: "
                f"{', '.join(there)}. To try it on a CPU, simulate devices: "
                f"JAX_NUM_CPU_DEVICES={count} in the environment."
            )
        return [find_device(name) for name in there[:count]]
    found = [find_device(d) for d in listed("Pipeline", devices)]
    names = [device_name(d) for d in found]
    if count not in (None, len(found)):
        raise ArgumentError(
            f"Pipeline got stages={stages} and devices={names}; expected a device of "
            "its own for each stage."
        )
    return listed("Pipeline", found)  # two names may stand for one device


def _checked(costs: Any) -> Any:
    if costs is None:
        return _COSTS[0]
    if isinstance(costs, str) and costs in _COSTS:
        return costs
    try:
        found = [] if isinstance(costs, str | Mapping) else [float(c) for c in costs]
    except (TypeError, ValueError):
        found = []
    if not found or any(not 0 <= c < float("inf") for c in found):
        raise ArgumentError(
            f"Pipeline got costs={costs!r}; expected one of {_COSTS}, or a finite "
            "number, 0 or more, for each of its `calls`."
        )
    return found


def _plan_of(model: Any, *options: Any) -> Any:
    """The stages of a model, which makes them itself: it knows its graph."""
    if not hasattr(model, "_cut_into_stages"):
        raise GraphError(
            f"Pipeline got {model!r}; expected a Sequential or functional model."
        )
    _check_free(model)
    return model._cut_into_stages(*options)


def _check_free(model: Any) -> None:
    """Raises where something else says already on which devices it runs."""
    if jax.process_count() > 1:
        raise ArgumentError(
            "Pipeline runs on the devices of one process, and this job has "
            f"{jax.process_count()}: start the script once, or use DataParallel."
        )
    own = model._placement
    spread = own if isinstance(own, Distribution) else current_placement()
    if spread is not None:
        raise ArgumentError(
            f"Pipeline got {model.name!r}, which is to run under "
            f"{type(spread).__name__}; a Pipeline chooses the devices itself: make it "
            "where no distribution is in force, from a model without one."
        )
    if model._device_placement() is not None:
        raise ArgumentError(
            f"Pipeline got {model.name!r}, whose layers were called inside device "
            "scopes; build it outside of them, and let the Pipeline choose."
        )


def cut_by_cost(costs: Sequence[float], stages: int) -> list[int]:
    """The stage of each call: as even as can be, calls that cost nothing staying with
    the one before them."""
    places = [i for i, cost in enumerate(costs) if cost > 0]
    if len(places) < stages:
        raise ArgumentError(
            f"Pipeline got stages={stages}, but of the model's {len(costs)} calls only "
            f"{len(places)} cost something; ask for {max(len(places), 1)} at most."
        )
    starts = [places[i] for i in balance([costs[i] for i in places], stages)]
    found, stage = [], 0
    for place in range(len(costs)):
        while stage + 1 < stages and place >= starts[stage + 1]:
            stage += 1
        found.append(stage)
    return found
