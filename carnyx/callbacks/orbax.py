"""`OrbaxCheckpoint`: checkpoints in Orbax's format, for those who have Orbax."""

from __future__ import annotations

import json
import os
from typing import Any

from carnyx._core import global_arrays
from carnyx.callbacks.progress import write
from carnyx.callbacks.saving import Saving
from carnyx.configurable import field
from carnyx.errors import ArgumentError, FileError
from carnyx.layers.base import Layer


def _orbax() -> Any:
    try:
        import orbax.checkpoint as orbax  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError(
            "OrbaxCheckpoint needs Orbax: pip install orbax-checkpoint. Carnyx's own "
            "backups (callbacks.BackupAndRestore) need nothing more."
        ) from error
    return orbax


class OrbaxCheckpoint(Saving):
    """Save weights, and the optimizer's state, with Orbax; `load` puts them back.

    Args:
        directory: a folder or a bucket's address; a checkpoint for every save.
        save_best_only: only when `monitor` has improved.
        save_freq: `"epoch"`, or every how many batches; the name of a checkpoint is
            the number of epochs, or of batches, that were done.
        initial_value_threshold: a first best value, to be improved upon.
        max_to_keep: the newest so many are kept; None keeps all.
        save_on_background: let training go on while files are written.
        save_weights_only: leave the optimizer and the model's configuration out.
    """

    directory: str = field(convert=os.fspath)
    max_to_keep: int | None = field(1)
    save_on_background: bool = field(True)
    save_weights_only: bool = field(False)

    field_order = (
        "directory", "monitor", "verbose", "save_best_only", "mode", "save_freq",
        "initial_value_threshold", ...,
    )  # fmt: skip
    _state = ("best", "_batches", "_since_saving", "_last_batch")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._orbax = _orbax()
        self._manager: Any = None

    def _open(self) -> Any:
        if self._manager is None:
            remote = "://" in self.directory
            options = self._orbax.CheckpointManagerOptions(
                max_to_keep=self.max_to_keep,
                enable_async_checkpointing=self.save_on_background,
            )
            where = self.directory if remote else os.path.abspath(self.directory)
            self._manager = self._orbax.CheckpointManager(where, options=options)
        return self._manager

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.wait_until_finished()

    def wait_until_finished(self) -> None:
        """Return when all that was saved is on the disk."""
        if self._manager is not None:
            self._manager.wait_until_finished()
            self._manager.close()
            self._manager = None

    def save(self, logs: dict[str, Any], epoch: int, batch: int | None) -> None:
        step = epoch + 1 if batch is None else self._batches
        if self.save_best_only:
            current = self.monitored(logs)
            if current is None or not self.improved(current, self.best):
                return
            self.best = current
        if self.verbose:
            write(f"\nSaving checkpoint {step} to {self.directory}\n")
        args = self._orbax.args
        items = {"variables": args.StandardSave(self._values(self.model))}
        if not self.save_weights_only:
            items["model"] = args.JsonSave(json.loads(self.model.to_json()))
        manager = self._open()
        if step in manager.all_steps():  # of a run that went on from before it
            manager.delete(step)
        manager.save(step, args=args.Composite(**items), force=True)

    def _values(self, model: Any) -> dict[str, Any]:
        """Copies: training donates its arrays while Orbax still writes them."""
        copies = {}
        for name, variable in self._variables(model).items():
            value = variable.peek()
            copies[name] = global_arrays.copied(value)
        return copies

    def _variables(self, model: Any) -> dict[str, Any]:
        groups = {"model": model.variables}
        if not self.save_weights_only and model.optimizer is not None:
            groups["optimizer"] = model.optimizer.variables
        return {
            f"{group} {i:05d} {v.path}": v
            for group, variables in groups.items()
            for i, v in enumerate(variables)
        }

    def load(self, model: Layer, step: int | None = None) -> int:
        """Put a checkpoint, the newest by default, into a built model; its step."""
        manager = self._open()
        step = manager.latest_step() if step is None else step
        if step is None:
            raise FileError(f"{self.directory!r} has no checkpoint.")
        if not self.save_weights_only and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        args = self._orbax.args
        found = manager.restore(
            step, args=args.Composite(variables=args.StandardRestore())
        )["variables"]
        self.wait_until_finished()
        variables = self._variables(model)
        saved = [found[name] for name in sorted(found)]
        wanted = [variables[name] for name in sorted(variables)]
        if [v.shape for v in saved] != [v.shape for v in wanted]:
            raise ArgumentError(
                f"Checkpoint {step} of {self.directory!r} has {len(saved)} variables, "
                f"not the {len(wanted)} of the model: it is of another model or "
                "optimizer, or saved with another save_weights_only."
            )
        for variable, value in zip(wanted, saved, strict=True):
            variable.assign(value)
        return step
