"""Worker processes that make batches: killed or failing, they say so at once."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Iterator
from multiprocessing import connection
from typing import Any

import jax

from carnyx.errors import DataError, add_note_once

_TASKS = 2  # batches that a worker has to do; the second, so that it need not wait


class Processes:
    """Processes with a copy each of a source; batches come out in order.

    They import the script anew (there is no fork beside JAX's threads), see no
    accelerator, and end with this process, however that ends.

    Args:
        source: `source[i]` is batch i; it is pickled.
    """

    def __init__(self, source: object, workers: int) -> None:
        self.source, self._count = source, workers
        self._workers: list[_Worker] = []
        self._ticket, self._sent = 0, b""

    def items(self, places: Iterator[Any], ahead: int) -> Iterator[tuple[Any, Any]]:
        """Pairs of place and `source[place]`; at most `ahead` made in advance."""
        self._begin()
        order: deque[tuple[int, Any]] = deque()
        done: dict[int, Any] = {}
        more = True
        try:
            while more or order:
                while more and len(order) < ahead:
                    worker = min(self._workers, key=lambda w: len(w.tasks))
                    if len(worker.tasks) >= _TASKS:
                        break
                    place = next(places, None)
                    more = place is not None
                    if more:
                        order.append((self._give(worker, place), place))
                if order and order[0][0] in done:
                    ticket, place = order.popleft()
                    yield place, self._opened(done.pop(ticket), place)
                elif order:
                    self._receive(done)
        except GeneratorExit:
            raise
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        """Workers with a copy of the source as it is now."""
        try:
            source = pickle.dumps(self.source, protocol=5)
        except Exception as error:
            add_note_once(
                error,
                f"use_multiprocessing=True sends {type(self.source).__name__} to other "
                "processes, but it cannot be pickled. Keep what cannot out of it (open "
                "files, lambdas), or use threads: use_multiprocessing=False.",
            )
            raise
        while any(worker.tasks for worker in self._workers):  # of an epoch given up
            self._receive({})
        if not self._workers:
            names = multiprocessing.get_all_start_methods()
            method = "forkserver" if "forkserver" in names else "spawn"
            context = multiprocessing.get_context(method)
            self._workers = [_Worker(context) for _ in range(self._count)]
            self._sent = b""
        if source != self._sent:
            self._sent = source
            for worker in self._workers:
                self._send(worker, (None, source))

    def _give(self, worker: _Worker, place: Any) -> int:
        self._ticket += 1
        worker.tasks[self._ticket] = place
        self._send(worker, (self._ticket, place))
        return self._ticket

    def _send(self, worker: _Worker, message: Any) -> None:
        try:
            worker.pipe.send(message)
        except OSError:
            raise self._died(worker) from None

    def _receive(self, done: dict[int, Any]) -> None:
        """Wait for any worker's next message, or its end."""
        found: dict[Any, Any] = {w.pipe: w for w in self._workers}
        ends: dict[Any, Any] = {w.process.sentinel: w for w in self._workers}
        ready = connection.wait([*found, *ends])
        for pipe in [p for p in ready if p in found] or ready:
            if pipe in ends:
                raise self._died(ends[pipe])
            try:
                ticket, answer = found[pipe].pipe.recv()
            except (EOFError, OSError):
                raise self._died(found[pipe]) from None
            found[pipe].tasks.pop(ticket, None)
            done[ticket] = answer

    def _opened(self, answer: Any, place: Any) -> Any:
        kind, value, text = answer
        if kind == "item":
            return value
        name = type(self.source).__name__
        add_note_once(value, f"while a worker of {name} made batch {place}:\n{text}")
        raise value

    def _died(self, worker: _Worker) -> DataError:
        worker.process.join(5)
        code = worker.process.exitcode
        reason = f"exit code {code}"
        if code is not None and code < 0:
            reason = signal.Signals(-code).name
        name = type(self.source).__name__
        place = next(iter(worker.tasks.values()), "none")
        return DataError(
            f"A worker process of {name} died ({reason}) while it made batch {place}. "
            "SIGKILL is often the system's answer to too little memory: use fewer "
            "workers or smaller batches. Where it died at its start, its own output "
            'says why; a script must do its work under `if __name__ == "__main__":`, '
            "as workers import it."
        )

    def close(self) -> None:
        """End the workers and wait for their end."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.pipe.close()  # not before: what writes to a closed one complains
            worker.process.join(2)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()


class _Worker:
    def __init__(self, context: Any) -> None:
        self.pipe, other = context.Pipe()
        self.tasks: dict[int, Any] = {}  # places by ticket, in the order given
        self.process = context.Process(
            target=_work, args=(other,), name="carnyx-data", daemon=True
        )
        self.process.start()
        other.close()


def _work(pipe: Any) -> None:
    """What a worker does: take a source, make its batches, until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
    jax.config.update("jax_platforms", "cpu")
    parent = multiprocessing.parent_process()
    assert parent is not None
    source: Any = None
    while pipe in connection.wait([pipe, parent.sentinel]):
        try:
            ticket, content = pipe.recv()
        except EOFError:
            return
        if ticket is None:
            source = content
            continue
        try:
            if isinstance(source, bytes):
                source = pickle.loads(source)
            answer: Any = "item", source[content], ""
        except BaseException as error:
            answer = "error", _portable(error), traceback.format_exc()
        pipe.send((ticket, answer))


def _portable(error: BaseException) -> BaseException:
    """The error, if it can travel; otherwise one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return DataError(f"{type(error).__name__}: {error}")
    return error
