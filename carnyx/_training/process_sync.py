"""What the processes of a job settle before, and while, they run a loop together."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from carnyx._core import global_arrays
from carnyx._core.placement import Placement, Uneven
from carnyx._data import Feed
from carnyx._data.hosts import target_dtype
from carnyx._training.outputs import trimmed
from carnyx._training.protocols import Batch
from carnyx.callbacks import CallbackList
from carnyx.distribution.job import Job, current_job
from carnyx.errors import ArgumentError, DataError, ProcessError

_LOOKED_AT = 1 << 24  # bytes, at most, of an array that processes compare
_OTHER = "has other samples than that of process 0"
_seen: weakref.WeakKeyDictionary[Any, set] = weakref.WeakKeyDictionary()
_SAME = (
    "Every process runs the same script, with the same arguments. Where each has data "
    "of its own, set DataParallel(auto_shard_dataset=False)."
)


def job_of(placement: Placement | None) -> Job | None:
    """The job whose processes run programs under a placement together."""
    if placement is None or not placement.shared:
        return None
    job = current_job()
    if job is None:
        raise ProcessError(
            f"{type(placement).__name__} has devices of several processes, which have "
            "not joined. Call carnyx.distribution.initialize() first; it may follow "
            "jax.distributed.initialize()."
        )
    return job


@contextlib.contextmanager
def synchronized(
    what: str,
    placement: Placement | None,
    callbacks: CallbackList,
    feeds: Sequence[Feed | None],
    **facts: Any,
) -> Iterator[None]:
    """Around a loop over feeds: settle what has to be the same in all processes.

    Raises:
        ArgumentError, DataError: in all of them, where it is not.
    """
    job = job_of(placement)
    if job is None or placement is None:
        yield
        return
    with job.call(what):
        given = [feed for feed in feeds if feed is not None]
        facts |= {"what": what, "feeds": len(given), "own": placement.takes_parts}
        said = job.agree(
            {
                "facts": facts,
                "wants": callbacks.wants,
                "feeds": [_about(feed, placement.takes_parts) for feed in given],
            },
            what,
        )
        for name in facts:
            _check_same(what, name, [s["facts"].get(name) for s in said], _SAME)
        callbacks.want([s["wants"] for s in said])
        params = callbacks.params or {}
        if given and params.get("steps") == given[0].length:
            lengths = [s["feeds"][0]["length"] for s in said]
            steps = None if None in lengths else max(lengths)
            callbacks.set_params(params | {"steps": steps})
        for i, feed in enumerate(given):
            _settle(job, feed, [s["feeds"][i] for s in said], placement.takes_parts)
        yield
        job.agree(None, f"the end of {what}")  # files of the first process are there


def _check_same(what: str, name: str, said: list[Any], advice: str) -> None:
    for index, value in enumerate(said):
        if value != said[0]:
            raise ArgumentError(
                f"{what}: {name} is {said[0]!r} in process 0 and {value!r} in process "
                f"{index}. {advice}"
            )


def _about(feed: Feed, own: bool) -> dict[str, Any]:
    about = {
        "source": "arrays" if feed.indexed else feed.name,
        "order": feed.order(),
        "length": feed.length,
        "batch_size": feed.batch_size,
        "num_samples": feed.num_samples,
    }
    if feed.indexed:
        about["spec"] = _kind([feed.spec()])
        about["sample"] = 0 if own else _checksum(feed.first_samples())
    return about


def _settle(job: Job, feed: Feed, said: list[dict[str, Any]], own: bool) -> None:
    same = ["batch_size", "spec"] if own else ["source", *said[0]]
    for name in same:
        if name in said[0] and name not in ("order", "sample"):
            values = [about.get(name) for about in said]
            _check_same(f"the data ({feed.name})", name, values, _SAME)
    for index, about in enumerate(said):
        if about.get("sample") != said[0].get("sample"):
            raise _not_alike(0, feed.name, index, _OTHER)
    if own:
        if feed.indexed:
            feed.share([about["num_samples"] for about in said])
    else:
        feed.order_by(said[0]["order"])
        if feed.indexed:
            feed.share(None)
            return  # every process knows all there is to know
    feed.meeting = Meeting(job, feed, own)


class Meeting:
    """Where the processes compare the batches of a feed, one by one.

    Args:
        own: each process gives a part of its own; else all give the same.
    """

    def __init__(self, job: Job, feed: Feed, own: bool) -> None:
        self.job, self.feed, self.own = job, feed, own

    def begin(self) -> str:
        """A name for a pass over the feed; all processes begin them in one order."""
        return self.job.next("batches")

    def batches(
        self, some: Iterator[Any], name: str, over: threading.Event
    ) -> Iterator[Any]:
        """Batches, each once all processes have one like it.

        Of own parts, one that is at its end gives empty ones until all are.
        """
        empty: Any = None
        for step in itertools.count():
            batch = next(some, None)
            if batch is None and self.own:
                batch = self._nothing() if empty is None else empty
            about = _about_batch(batch, step == 0 and not self.own)
            said = self.job.exchange(
                f"{name} {step}", about, f"step {step} of its data", over
            )
            if over.is_set() or not any(size for size, *_ in said):
                return
            _check_batches(step, self.feed.name, said, self.own)
            if empty is None:
                empty = jax.tree_util.tree_map(lambda leaf: leaf[:0], batch)
            sizes = tuple(size for size, *_ in said)
            uneven = self.own and len(set(sizes)) > 1
            yield Uneven(batch, sizes) if uneven else batch

    def _nothing(self) -> Any:
        """An empty batch like those that the feed would have."""
        leaves, form = jax.tree_util.tree_flatten(trimmed(self.feed.spec()))
        if any(None in leaf.shape[1:] for leaf in leaves):
            raise DataError(
                f"{self.feed.name} gave no batch in process {self.job.index}, while "
                "others have some; give every process some data."
            )
        empty = [np.zeros((0, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        return jax.tree_util.tree_unflatten(form, empty)


def _about_batch(batch: Any, look: bool) -> tuple[int, str, int]:
    """Size, kind, and, if it is looked at, a checksum of what has to be the same."""
    if batch is None:
        return 0, "", 0
    leaves = jax.tree_util.tree_leaves(batch)
    return leaves[0].shape[0], _kind(batch), _checksum(leaves) if look else 0


def _check_batches(step: int, name: str, said: list[Any], own: bool) -> None:
    """Whether all processes gave batches alike, by what `_about_batch` says of each."""
    first = said[0]
    for index, (size, kind, checksum) in enumerate(said):
        other = ""
        if size and first[0] and kind != first[1]:
            other = f"has {kind}, that of process 0 {first[1]}"
        elif not own and size != first[0]:
            other = f"has {size} samples, that of process 0 {first[0]}"
        elif checksum != first[2]:
            other = _OTHER
        if other:
            raise _not_alike(step, name, index, other)


def _not_alike(step: int, name: str, index: int, other: str) -> DataError:
    return DataError(
        f"Batch {step} of {name} in process {index} {other}. All processes have to "
        "give the same batches (seed what shuffles), or, with "
        "DataParallel(auto_shard_dataset=False), each its own part."
    )


def _checksum(leaves: Sequence[Any]) -> int:
    """Of the first samples, as many as are soon looked at, in the dtypes of a model."""
    checksum = 0
    for leaf in leaves:
        if not global_arrays.is_shared(
            leaf
        ):  # else JAX made it of all processes' parts
            most = _LOOKED_AT * len(leaf) // max(leaf.nbytes, 1) + 1
            samples = np.asarray(leaf if len(leaf) <= most else leaf[:most])
            samples = np.ascontiguousarray(samples, target_dtype(leaf.dtype, "it"))
            checksum = zlib.crc32(samples.reshape(-1).view(np.uint8), checksum)
    return checksum


def _kind(batch: Any) -> str:
    """What has to be the same of batches in all processes, in short."""
    leaves, form = jax.tree_util.tree_flatten(batch)
    parts = [f"{leaf.dtype}{list(leaf.shape[1:])}" for leaf in leaves]
    return json.dumps(parts) if len(parts) < 8 else str(zlib.crc32(str(parts).encode()))


@contextlib.contextmanager
def single_batch(what: str, model: Any) -> Iterator[Callable[[Any], Any]]:
    """Around a step on one batch; gives what settles the batch between processes.

    Where each process gives its own part, it then has the sizes of all. Else all have
    to be the same, which the first of a size is looked at for.
    """
    placement = model._placed()
    job = job_of(placement)
    if job is None:
        yield lambda batch: batch
        return
    own = placement.takes_parts
    seen = _seen.setdefault(model, set())

    def settled(batch: Any) -> Any:
        size, kind, _ = _about_batch(batch, False)
        known = own or (what, size, kind) in seen
        said = job.agree(_about_batch(batch, not known), f"{what} on one batch")
        _check_batches(0, "the data", said, own)
        seen.add((what, size, kind))
        sizes = tuple(size for size, *_ in said)
        return Uneven(batch, sizes) if len(set(sizes)) > 1 else batch

    with job.call(what):
        yield settled


def own_rows(placement: Placement | None, batch: Batch) -> slice:
    """Which outputs for a batch are for this process's samples."""
    if placement is None or not placement.takes_parts:
        return slice(None)
    return placement.process_shards.rows(batch)  # type: ignore[attr-defined]


class Stopping:
    """Where the processes that train a model agree on a step to stop after."""

    def __init__(self, job: Job) -> None:
        self._job, self.arrive = job, job.stops.arrive
        job.stops.begin(lambda: job.agree(None, "the beginning of training"))

    def end(self, wanted: str | None) -> str | None:
        """Past the last step of all: why to stop all the same; signals come first."""
        said = self._job.agree(wanted, "the end of training")
        reasons = [r for r in (self._job.stops.end(), *said) if r is not None]
        return min(reasons, key=lambda reason: reason == "stop", default=None)


def stopping_of(model: Any) -> Stopping | None:
    """A `Stopping` for one run, where several processes train a model."""
    job = job_of(model._placed())
    return None if job is None else Stopping(job)
