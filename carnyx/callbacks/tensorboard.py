"""`TensorBoard`: curves, histograms, images, the graph and profiles, in event files."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from carnyx.callbacks.base import Callback, takes_chunks
from carnyx.callbacks.event_files import EventFile
from carnyx.callbacks.learning_rate import _log_rates
from carnyx.configurable import field
from carnyx.distribution.job import is_first
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer


def _update_freq(freq: Any) -> Any:
    if freq == "batch":
        return 1
    if freq == "epoch" or (isinstance(freq, int) and freq > 0):
        return freq
    raise ArgumentError(
        f"TensorBoard got update_freq={freq!r}; expected 'epoch', 'batch' or a number "
        "of batches above 0."
    )


def _range(batches: Any) -> tuple[int, int]:
    """First and last batch to profile; (0, 0) for none."""
    pair = batches.split(",") if isinstance(batches, str) else batches
    pair = tuple(pair) if isinstance(pair, list | tuple) else (pair, pair)
    pair = pair * 2 if len(pair) == 1 else pair
    try:
        first, last = (int(b) for b in pair)
    except (TypeError, ValueError):
        first, last = -1, -1
    if first < 0 or last < first or (first == 0 and last > 0):
        raise ArgumentError(
            f"TensorBoard got profile_batch={batches!r}; expected a batch, a pair "
            "(first, last), both counted from 1, or 0 for none."
        )
    return first, last


class TensorBoard(Callback):
    """Write what TensorBoard shows: `tensorboard --logdir logs`.

    Needs neither TensorFlow nor TensorBoard. Training goes to `log_dir/train`,
    evaluation to `log_dir/validation`, tagged as Keras does: `epoch_loss`,
    `batch_loss`, `evaluation_loss_vs_iterations`, `<weight>/histogram`.

    Args:
        histogram_freq: every how many epochs to write histograms of the weights.
        write_graph: write the graph of layers, if the model is one.
        write_images: write weights as images, too, when histograms are written.
        update_freq: `"epoch"`, `"batch"`, or every how many batches to write losses
            and metrics.
        profile_batch: the batch, or first and last batch, to profile.
        embeddings_freq: every how many epochs to write embeddings for the projector,
            as tables (Keras writes checkpoints, which the projector cannot read).
        embeddings_metadata: the file of labels for all embeddings, or a file by the
            name of the layer.
    """

    log_dir: str = field("logs", convert=os.fspath)
    histogram_freq: int = field(0)
    write_graph: bool = field(True)
    write_images: bool = field(False)
    write_steps_per_second: bool = field(False)
    update_freq: Any = field("epoch", _update_freq)
    profile_batch: Any = field(0, _range)
    embeddings_freq: int = field(0)
    embeddings_metadata: Any = field(None)

    _train_batch = _test_batch = 0
    _tracing = False
    _epoch_from = _test_from = _rate_from = _steps_in_epoch = 0
    _state = ("_train_batch", "_test_batch", "_epoch_from")

    def __post_init__(self) -> None:
        self.every_batch = self.update_freq != "epoch" or self.profile_batch != (0, 0)
        self._epoch_start = self._rate_since = time.perf_counter()
        self._graph_is_due = self.write_graph

    def set_model(self, model: Layer) -> None:
        super().set_model(model)
        self._train = EventFile(os.path.join(self.log_dir, "train"))
        self._validation = EventFile(os.path.join(self.log_dir, "validation"))
        self._graph_is_due = self.write_graph

    def state(self) -> dict[str, Any]:
        files = [self._train.position(), self._validation.position()]
        return super().state() | {"files": files}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on; steps that are done again do not stand in the files twice."""
        super().restore(state)
        for file, position in zip(
            (self._train, self._validation), state.get("files", ())
        ):
            file.cut(position)

    # ---- training

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._train_batch = 0
        if self._graph_is_due:
            self._graph_is_due = False
            self._write_graph()
        if self.embeddings_freq:
            self._write_projector()

    def _write_graph(self) -> None:
        if not getattr(self.model, "inputs", None):  # not a graph of layers
            return
        try:
            self._train.keras_model("keras", self.model.to_json())
        except Exception as error:
            warnings.warn(
                f"The graph is not written: the model has no config. {error}",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_start = self._rate_since = time.perf_counter()
        self._epoch_from = self._rate_from = self._train_batch
        self._steps_in_epoch = 0

    @takes_chunks
    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        first, _ = self.profile_batch
        if self._train_batch + 1 == first and not self._tracing and is_first():
            jax.profiler.start_trace(self._train.folder)
            self._tracing = True

    @takes_chunks
    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._train_batch = self._epoch_from + batch + 1
        self._steps_in_epoch = batch + 1
        if self._is_due(self._train_batch):
            self._scalars(self._train, "batch_{}", logs, self._train_batch)
            if self.write_steps_per_second:  # the loss above is there: steps are done
                self._write_rate()
        if self._tracing and self._train_batch >= self.profile_batch[1]:
            jax.block_until_ready(list((logs or {}).values()))
            self._stop_trace()

    def _write_rate(self) -> None:
        now, steps = time.perf_counter(), self._train_batch - self._rate_from
        rate = steps / max(now - self._rate_since, 1e-9)
        self._train.scalar("batch_steps_per_second", rate, self._train_batch)
        self._rate_since, self._rate_from = now, self._train_batch

    def _is_due(self, batch: int) -> bool:
        return self.update_freq != "epoch" and batch % self.update_freq == 0

    def _stop_trace(self) -> None:
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = dict(logs or {})
        validation = {n[4:]: logs.pop(n) for n in list(logs) if n.startswith("val_")}
        if logs:
            _log_rates(self.model, logs)
            if self.write_steps_per_second:
                seconds = max(time.perf_counter() - self._epoch_start, 1e-9)
                logs["steps_per_second"] = self._steps_in_epoch / seconds
        self._scalars(self._train, "epoch_{}", logs, epoch)
        self._scalars(self._validation, "epoch_{}", validation, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings()
        self._flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._stop_trace()
        self._flush()

    # ---- evaluation

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._test_from = self._test_batch

    @takes_chunks
    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._test_batch = self._test_from + batch + 1
        if self._is_due(self._test_batch):
            self._scalars(self._validation, "batch_{}", logs, self._test_batch)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        step = int(self.model.optimizer.iterations)
        self._scalars(self._validation, "evaluation_{}_vs_iterations", logs, step)
        self._flush()

    # ---- what is written

    def _scalars(self, file: EventFile, tag: str, logs: Any, step: int) -> None:
        for name, value in (logs or {}).items():
            if not getattr(value, "shape", ()):  # a confusion matrix is no curve
                file.scalar(tag.format(name), value, step)

    def _flush(self) -> None:
        self._train.flush()
        self._validation.flush()

    def _write_weights(self, epoch: int) -> None:
        for weight in (w for layer in self.model.layers for w in layer.weights):
            value = weight.numpy()
            if value.dtype.kind not in "fiub":
                value = value.astype("float32")  # bfloat16 is no dtype of NumPy's
            self._train.histogram(f"{weight.path}/histogram", value, epoch)
            pictures = as_images(value) if self.write_images else None
            if pictures is not None:
                self._train.images(f"{weight.path}/image", pictures, epoch)

    def _embeddings(self) -> list[tuple[Any, str]]:
        """Layers whose one table is called `embeddings`, and the file for each."""
        found = (x for x in self.model.layers if hasattr(x, "embeddings"))
        return [(layer, f"{layer.name}.tsv") for layer in found]

    def _write_embeddings(self) -> None:
        for layer, name in self._embeddings():
            path = os.path.join(self._train.folder, name)
            table = np.asarray(layer.embeddings)  # by all processes that hold it
            if is_first():
                os.makedirs(self._train.folder, exist_ok=True)
                np.savetxt(path, table, delimiter="\t", fmt="%.7g")

    def _write_projector(self) -> None:
        """Tell the projector which tables there are, and their labels."""
        labels = self.embeddings_metadata
        by_layer = dict(labels) if isinstance(labels, Mapping) else {}
        text = ""
        for layer, name in self._embeddings():
            text += f'embeddings {{\n  tensor_name: "{layer.name}"\n'
            text += f'  tensor_path: "{name}"\n'
            label = by_layer.pop(layer.name, None) if by_layer else labels
            if isinstance(label, str | os.PathLike):
                text += f'  metadata_path: "{os.path.abspath(label)}"\n'
            text += "}\n"
        if by_layer:
            raise ArgumentError(
                f"embeddings_metadata has {sorted(by_layer)}, but the layers with "
                f"embeddings are {[layer.name for layer, _ in self._embeddings()]}."
            )
        if not is_first():
            return
        os.makedirs(self._train.folder, exist_ok=True)
        path = os.path.join(self._train.folder, "projector_config.pbtxt")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)


def as_images(weight: np.ndarray) -> np.ndarray | None:
    """A weight as grey or coloured images in 0 … 1; None where it cannot be shown.

    A vector is a row, a matrix lies on its longer side, of three axes the last counts
    the images; kernels of images with 1, 3 or 4 channels stay as they are.
    """
    value = np.squeeze(weight).astype("float32")
    if value.ndim == 1:
        value = value[None, None, :, None]
    elif value.ndim == 2:
        value = (value.T if value.shape[0] > value.shape[1] else value)[
            None, :, :, None
        ]
    elif value.ndim == 3:
        value = value.transpose(2, 0, 1)[..., None]
    if value.ndim != 4 or value.shape[-1] not in (1, 3, 4):
        return None
    low, high = value.min(), value.max()
    return (value - low) / (high - low) if high > low else np.full_like(value, 0.5)
