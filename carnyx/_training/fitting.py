"""`Fit`: a run of training, which stands somewhere and can be gone on with."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

from carnyx import config
from carnyx._data import Feed, naming, tell_of_waiting
from carnyx._training import position
from carnyx._training.arguments import FitOptions
from carnyx._training.backups import Backups
from carnyx._training.evaluation import Evaluation
from carnyx._training.interrupts import BetweenSteps, Terminated
from carnyx._training.kept import Kept
from carnyx._training.not_finite import explain
from carnyx._training.process_sync import job_of, stopping_of
from carnyx._training.run import Run, as_floats, at_most
from carnyx.callbacks import BackupAndRestore, ProgbarLogger
from carnyx.distribution.job import is_first
from carnyx.errors import DataError

EXIT_TERMINATED = 143  # 128 + SIGTERM, what a shell reports of a process it ends


class Fit(Run):
    """A call of `fit`; everything a user sees of it goes through the callbacks.

    Attributes:
        epoch, step: the next step to do is `step` of `epoch`.
        total: steps done since the first epoch.
        epochs: up to which epoch training was asked for.
        logs: of the last step, once they have been read.
        finished: whether the last epoch is done.
        kept: from where steps can be made again to find out about a loss.
    """

    def __init__(
        self, model: Any, feed: Feed, validation: Feed | None, options: FitOptions
    ) -> None:
        steps = options.steps_per_epoch
        super().__init__(
            model, feed, options.callbacks, options.verbose, steps,
            epochs=options.epochs, batch_size=feed.batch_size,
            samples=None if steps else feed.num_samples,
        )  # fmt: skip
        self.options, self.validation = options, None
        if validation is not None:
            self.validation = Evaluation(
                model, validation, self.callbacks, steps=options.validation_steps
            )
        self.epoch, self.step, self.total = options.initial_epoch, 0, 0
        self.epochs = at_most(options.epochs, config.max_epochs())
        self.logs: dict[str, Any] = {}
        self.finished = False
        self.kept = Kept(model)
        self.kept.look_on(feed)
        for callback in self.callbacks.callbacks:
            if isinstance(callback, ProgbarLogger):
                callback.note = feed.waiting
        wanted = options.backups(self.callbacks.callbacks, model.name)
        self.backups = Backups(wanted, job_of(model._placed()))

    def run(self) -> None:
        """Train to the end, from the newest backup on if there is one."""
        keep, options, validation = self.backups.options, self.options, self.validation
        if keep is not None and options.resume is True:
            self._tell(f"Backups of this run are in the folder {keep.backup_dir}.")
        with self.synchronized(
            validation and validation.feed, epochs=options.epochs,
            initial_epoch=options.initial_epoch, validation_steps=validation
            and validation.steps, validation_freq=validation and options.frequency(),
            backups=keep and _facts_of(keep),
        ):  # fmt: skip
            self._run()

    def _run(self) -> None:
        asked = self.epochs > self.epoch
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        self._resume()
        if self.finished:
            self.backups.remove()
            return
        self.interrupts = BetweenSteps(self.backups.on, stopping_of(self.model))
        try:
            with self.interrupts, contextlib.closing(self.backups):
                self._to_the_end(asked)
        except Terminated:
            raise SystemExit(EXIT_TERMINATED) from None

    def _to_the_end(self, asked: bool) -> None:
        """Train and end; an interrupt may come at any moment until this returns."""
        try:
            stopped = bool(self.model.stop_training)
            while self.epoch < self.epochs and not stopped:
                stopped = self._epoch()
            self.model.finish_training(asked)
            self.callbacks.on_train_end(self.logs)
            self.finished = True
            self.interrupts.end(self.model)
        except Terminated:
            self.save(wait=True)
            raise
        if self.backups.stay:  # one says that this is the end
            self.save(wait=True)
        self.backups.remove()
        self.interrupts.end(self.model)

    def _epoch(self) -> bool:
        """Steps, validation, the callbacks, a backup; whether it was the last."""
        before = self.logs
        if self.step == 0:
            self.model.reset_metrics()
            self.logs = {}
            self.callbacks.on_epoch_begin(self.epoch)
        self.kept.epoch_begins(self.epoch, self.step, before)
        self._steps()
        logs = self.logs = as_floats(self.logs)
        self.feed.waiting.end()
        tell_of_waiting(self.feed)
        explain(self)
        if not logs:
            self.logs = before
            self._ended_early()
            return True
        if self.validation is not None and self.options.validates(self.epoch):
            logs = logs | self._validated(self.validation, logs)
        self.callbacks.on_epoch_end(self.epoch, logs)
        self.epoch, self.step, self.logs = self.epoch + 1, 0, logs
        if self.backups.due_after_epoch():
            self.save()
        return self.stops()

    def _steps(self) -> None:
        """The steps of an epoch that are still to do."""
        program = self.model.train_program()
        self.feed.waiting.begin()
        todo = self.dispatches(program, self.epoch, self.step)
        for done in self.done(todo):
            self.logs = done.out
            self.total += done.last + 1 - self.step
            self.step = done.last + 1
            if done.told and self.backups.due_after(done.told):
                self.save()

    def stops(self) -> bool:
        return self.interrupts.stops(self.model)

    def _validated(
        self, validation: Evaluation, logs: dict[str, Any]
    ) -> dict[str, Any]:
        """Loss and metrics on the validation data; the epoch's own are never lost."""
        try:
            with naming("the validation data"):
                results = validation.evaluate()
        except BaseException:
            self.callbacks.keep(self.epoch, logs)
            raise
        return {f"val_{name}": value for name, value in results.items()}

    def _ended_early(self) -> None:
        """Training ends with what there was, where the data has no more batches."""
        said = (
            f"The training data gave no batch in epoch {self.epoch + 1}. A generator "
            "has to give the batches of all epochs (steps_per_epoch times epochs); "
            "what can start again (arrays, PyDataset, a loader) is begun anew for each."
        )
        if not self.total:
            raise DataError(said)
        warnings.warn(
            f"{said} Training ends after {self.epoch} of {self.epochs} epochs.",
            stacklevel=2,
        )

    # ---- backups

    def save(self, wait: bool = False) -> None:
        """Copy the state now; write it in the background, or before returning."""
        if self.backups.on:
            self.backups.write(self.total, *position.capture(self), wait=wait)

    def _resume(self) -> None:
        """Go on from the newest whole backup, if there is one."""
        saved = self.backups.find()
        if saved is None:
            return
        if saved.content["step"]:  # the middle of an epoch, which began long ago
            self.callbacks.on_epoch_begin(saved.content["epoch"])
        position.restore(self, saved)
        if self.finished:
            self._tell(
                f"The run saved in {saved.folder} was finished after {self.epoch} "
                "epochs: nothing to do. More epochs would go on from there."
            )
            return
        self._tell(
            f"Going on from epoch {self.epoch + 1}, step {self.step}, as saved in "
            f"{saved.folder}."
        )

    def _tell(self, message: str) -> None:
        """Print, unless `fit` is silent."""
        if (self.callbacks.params or {}).get("verbose") and is_first():
            print(message, flush=True)


def _facts_of(options: BackupAndRestore) -> dict[str, Any]:
    """What of them has to be the same in all processes."""
    names = "save_freq", "keep", "delete_checkpoint"
    return {name: getattr(options, name) for name in names}
