"""Event files and the TensorBoard callback, read by a parser of the test's own.

`tests/interop/test_tensorboard_reader.py` has TensorBoard itself read them.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import carnyx as keras
from carnyx.callbacks import TensorBoard
from carnyx.callbacks.event_files import EventFile, histogram, png
from carnyx.callbacks.tensorboard import as_images

X = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
Y = X[:, :1]


def crc(data: bytes) -> int:
    """CRC-32C bit by bit, masked; against the table of the writer."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 * (value & 1))
    value ^= 0xFFFFFFFF
    return (((value >> 15) | (value << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> list[bytes]:
    data, found = path.read_bytes(), []
    while data:
        (length, check) = struct.unpack("<QI", data[:12])
        assert check == crc(data[:8])
        body, rest = data[12 : 12 + length], data[12 + length :]
        assert struct.unpack("<I", rest[:4])[0] == crc(body)
        found.append(body)
        data = rest[4:]
    return found


def fields(data: bytes) -> dict[int, list[Any]]:
    """The fields of a message by number."""
    found: dict[int, list[Any]] = {}
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(data):
        field, kind = divmod(varint(), 8)
        if kind == 0:
            value: Any = varint()
        else:
            size = varint() if kind == 2 else 8
            value = data[place : place + size]
            place += size
        found.setdefault(field, []).append(value)
    return found


def events(folder: Path) -> dict[str, list[tuple[int, str, Any]]]:
    """By tag: step, plugin and tensor of each event in the only file of a folder."""
    (path,) = folder.glob("events.out.tfevents.*.v2")
    first, *rest = records(path)
    assert fields(first)[3] == [b"brain.Event:2"]
    found: dict[str, list[Any]] = {}
    for event in map(fields, rest):
        (value,) = map(fields, fields(event[5][0])[1])
        plugin = fields(fields(value[9][0])[1][0])[1][0].decode()
        step, tensor = event[2][0], fields(value[8][0])
        found.setdefault(value[1][0].decode(), []).append((step, plugin, tensor))
    return found


def array(tensor: dict[int, list[Any]]) -> np.ndarray:
    dims = [fields(d).get(1, [0])[0] for d in fields(tensor[2][0]).get(2, [])]
    dtype = {1: "<f4", 2: "<f8"}[tensor[1][0]]
    return np.frombuffer(tensor[4][0], dtype).reshape(dims)


def model() -> Any:
    made = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="a")])
    made.add(keras.layers.Dense(1, name="b"))
    made.compile("sgd", "mse")
    return made


def fit(folder: Path, **options: Any) -> Any:
    return model().fit(
        X, Y, batch_size=10, epochs=2, verbose=0, validation_split=0.25,
        callbacks=[TensorBoard(folder, **options)],
    )  # fmt: skip


def test_curves_are_those_of_the_history(tmp_path: Path) -> None:
    history = fit(tmp_path, write_steps_per_second=True).history
    train, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    for found, name in ((train, "loss"), (validation, "val_loss")):
        steps, plugins, tensors = zip(*found["epoch_loss"])
        assert steps == (0, 1) and set(plugins) == {"scalars"}
        np.testing.assert_allclose([array(t) for t in tensors], history[name], 1e-6)
    assert [s for s, *_ in validation["evaluation_loss_vs_iterations"]] == [3, 6]
    assert float(array(train["epoch_learning_rate"][0][2])) == np.float32(0.01)
    assert float(array(train["epoch_steps_per_second"][0][2])) > 0
    assert not any(tag.startswith("batch_") for tag in train)


def test_batches_weights_and_the_graph(tmp_path: Path) -> None:
    fit(
        tmp_path, update_freq=2, histogram_freq=1, write_images=True,
        write_steps_per_second=True,
    )  # fmt: skip
    found = events(tmp_path / "train")
    assert [s for s, *_ in found["batch_loss"]] == [2, 4, 6]
    assert len(found["batch_steps_per_second"]) == 3
    tag = next(t for t in found if t.endswith("a/kernel/histogram"))
    step, plugin, tensor = found[tag][1]
    assert (step, plugin) == (1, "histograms")
    assert array(tensor).shape == (30, 3) and array(tensor)[:, 2].sum() == 15
    _, plugin, tensor = found[tag.replace("histogram", "image")][0]
    width, height, file = tensor[8]
    assert plugin == "images" and (width, height) == (b"5", b"3")
    assert Image.open(io.BytesIO(file)).size == (5, 3)
    _, plugin, tensor = found["keras"][0]
    assert plugin == "graph_keras_model"
    assert keras.models.model_from_json(tensor[8][0].decode()).count_params() == 22


def test_nothing_is_written_that_was_not_asked_for(tmp_path: Path) -> None:
    fit(tmp_path, write_graph=False)
    assert set(events(tmp_path / "train")) == {"epoch_loss", "epoch_learning_rate"}


def test_a_subclassed_model_has_no_graph(tmp_path: Path) -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    own = Own()
    own.compile("sgd", "mse")
    own.fit(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path, histogram_freq=1)])
    assert "keras" not in events(tmp_path / "train")


def test_a_profile_of_some_batches(tmp_path: Path) -> None:
    fit(tmp_path, profile_batch=(2, 3))
    assert len(list(tmp_path.glob("train/plugins/profile/*/*.xplane.pb"))) == 1


def test_embeddings_and_their_labels(tmp_path: Path) -> None:
    net = keras.Sequential(
        [keras.Input((4,), dtype="int32"), keras.layers.Embedding(7, 3, name="words")]
    )
    net.add(keras.layers.GlobalAveragePooling1D())
    net.compile("sgd", "mse")
    x, y = np.zeros((8, 4), "int32"), np.zeros((8, 3), "float32")
    board = TensorBoard(
        tmp_path, embeddings_freq=1, embeddings_metadata={"words": "labels.tsv"}
    )
    net.fit(x, y, verbose=0, callbacks=[board])
    table = np.loadtxt(tmp_path / "train" / "words.tsv", delimiter="\t")
    np.testing.assert_allclose(table, net.layers[0].get_weights()[0], 1e-5, 1e-7)
    text = (tmp_path / "train" / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "words.tsv"' in text and "labels.tsv" in text
    board = TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"w": "x"})
    with pytest.raises(ValueError, match=r"has \['w'\], but the layers"):
        net.fit(x, y, verbose=0, callbacks=[board])


@pytest.mark.parametrize(
    "given, message",
    [
        ({"update_freq": 0}, "update_freq=0; expected 'epoch'"),
        ({"profile_batch": "x"}, "profile_batch='x'; expected a batch"),
        ({"profile_batch": (3, 2)}, r"profile_batch=\(3, 2\)"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TensorBoard("logs", **given)


def test_profile_batch_as_text() -> None:
    assert TensorBoard(profile_batch="2,5").profile_batch == (2, 5)
    assert TensorBoard(profile_batch=3).profile_batch == (3, 3)


def test_steps_of_many_bytes_and_negative_ones(tmp_path: Path) -> None:
    file = EventFile(str(tmp_path))
    for step in (0, 127, 128, 2**40, -1):
        file.scalar("x", 1.0, step)
    file.flush()
    steps = [s for s, *_ in events(tmp_path)["x"]]
    assert steps == [0, 127, 128, 2**40, 2**64 - 1]


@pytest.mark.parametrize(
    "values, rows",
    [([], 0), ([2.0, 2.0], 1), ([np.nan, np.inf, 1.0, 3.0], 30)],
    ids=["empty", "equal", "not finite"],
)
def test_histograms_of_odd_values(values: list[float], rows: int) -> None:
    table = histogram(values)
    assert table.shape == (rows, 3)
    assert table[:, 2].sum() == np.isfinite(values).sum()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_files_hold_the_pixels(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, channels), "uint8")
    read = np.asarray(Image.open(io.BytesIO(png(pixels))))
    np.testing.assert_array_equal(read.reshape(pixels.shape), pixels)


@pytest.mark.parametrize(
    "shape, images",
    [
        ((7,), (1, 1, 7, 1)),
        ((9, 4), (1, 4, 9, 1)),
        ((3, 3, 1, 8), (8, 3, 3, 1)),
        ((2, 5, 5, 3), (2, 5, 5, 3)),
        ((3, 3, 8, 16), None),
        ((), None),
    ],
)
def test_weights_as_images(shape: tuple[int, ...], images: Any) -> None:
    value = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    made = as_images(value)
    assert (None if made is None else made.shape) == images
    assert made is None or (made.min() == 0 and made.max() == 1)
