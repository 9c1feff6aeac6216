"""How a model would train on more devices than there are: scaling on paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx._costs.chips import Chip, chip_of
from carnyx._costs.cost_model import CostModel
from carnyx._costs.inputs import (
    check_model,
    check_overlap,
    counts_of,
    specs_of,
)
from carnyx._costs.report import Estimate
from carnyx.distribution.data_parallel import DataParallel, split_axis
from carnyx.distribution.pipeline import Pipeline
from carnyx.errors import ArgumentError
from carnyx.typing import Tensors


def estimate(
    model: Any,
    batch: Tensors,
    devices: int | Sequence[int] = (1, 8, 64, 1024),
    chip: str | Chip = "h100",
    *,
    strategy: str | DataParallel = "auto",
    scaling: str = "weak",
    overlap: float = 0.5,
) -> Estimate:
    """Predict steps of training on any number of devices, none of which need be here.

    The step is traced for the chip; nothing is computed, so that the model may be one
    of `carnyx.abstract`. These are predictions; printed, they say what they assume.

    Args:
        model: built and compiled.
        batch: `(x, y)` or `(x, y, sample_weight)`: arrays, or `jax.ShapeDtypeStruct`s;
            or a number of samples for the model's inputs. With weak scaling it is what
            each device gets, with strong scaling all of them together.
        chip: a name of `distribution.CHIPS`, or a `distribution.Chip`.
        strategy: `"data"`, `"fsdp"` (`DataParallel(shard_parameters=True)`), a
            `DataParallel`, or `"auto"`: the second where only it fits into memory.
        scaling: `"weak"` or `"strong"`.
        overlap: which part of the communication is hidden behind computing.

    >>> import carnyx as keras
    >>> model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
    >>> model.compile("sgd", "mse")
    >>> row = keras.distribution.estimate(model, 256, devices=[8]).rows[0]
    >>> row.collectives["all-reduce"], row.fits  # the gradients
    (31400.0, True)
    """
    if isinstance(model, Pipeline):
        raise ArgumentError(
            "estimate got a Pipeline; give it a model without one, compiled by itself: "
            "pipelines are not estimated."
        )
    check_model(model)
    if scaling not in ("weak", "strong"):
        raise ArgumentError(
            f'estimate got scaling={scaling!r}; expected "weak" or "strong".'
        )
    check_overlap(overlap)
    counts = counts_of(devices)
    costs = CostModel(
        model, specs_of(model, batch), chip_of(chip), scaling == "strong", split_axis
    )
    chosen = _strategy(strategy, costs, counts)
    rows = [costs.row(n, chosen == "fsdp", overlap) for n in counts]
    parameters = sum(v.size for v in model.trainable_variables)
    return Estimate(
        model.name, costs.chip, chosen, scaling, overlap, parameters, rows
    )  # fmt: skip


def _strategy(strategy: Any, costs: CostModel, counts: list[int]) -> str:
    if isinstance(strategy, DataParallel):
        return "fsdp" if strategy.shard_parameters else "data"
    if strategy == "auto":
        needs = (
            costs.row(n, True, 0.0).fits and not costs.row(n, False, 0.0).fits
            for n in counts
        )
        return "fsdp" if any(needs) else "data"
    if strategy not in ("data", "fsdp"):
        raise ArgumentError(
            f'estimate got strategy={strategy!r}; expected "auto", "data", "fsdp" or a '
            "DataParallel. Tensor parallelism and pipelines are not estimated."
        )
    return strategy
