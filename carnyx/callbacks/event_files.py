"""Event files, as TensorBoard reads them: records with checksums, messages inside.

A record is its length, a checksum of the length, the data, a checksum of the data; the
data are a protocol buffer of which a few fields are written here by hand.

References: https://www.tensorflow.org/tutorials/load_data/tfrecord (records);
    tensorflow/core/util/event.proto and framework/summary.proto (field numbers).
"""

from __future__ import annotations

import functools
import itertools
import os
import socket
import struct
import time
import zlib
from typing import Any

import numpy as np

from carnyx.distribution.job import is_first
from carnyx.typing import Tensor

# ---- records


@functools.cache
def _table() -> tuple[int, ...]:
    """CRC-32C of each byte: the reflected Castagnoli polynomial."""

    def entry(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        return byte

    return tuple(map(entry, range(256)))


def crc32c(data: bytes) -> int:
    """The checksum CRC-32C.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A checksum as it stands in a file: rotated and shifted by a constant."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """Data with its length and the checksums of both."""
    length = struct.pack("<Q", len(data))
    checks = (struct.pack("<I", masked(crc32c(part))) for part in (length, data))
    return length + next(checks) + data + next(checks)


# ---- messages: a field is its number and kind, then its value


def varint(value: int) -> bytes:
    """An integer, seven bits a byte, the lowest first."""
    value &= (1 << 64) - 1
    low, rest = value & 0x7F, value >> 7
    return bytes([low]) if not rest else bytes([low | 0x80]) + varint(rest)


def number(field: int, value: int) -> bytes:
    """An integer field."""
    return varint(field << 3) + varint(value)


def double(field: int, value: float) -> bytes:
    """A field of eight bytes."""
    return varint(field << 3 | 1) + struct.pack("<d", value)


def chunk(field: int, *parts: bytes | str) -> bytes:
    """A field that holds text, bytes or another message, put together from parts."""
    data = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    return varint(field << 3 | 2) + varint(len(data)) + data


_DTYPES = {"float32": 1, "float64": 2}
_STRING = 7


def _shape(sizes: tuple[int, ...]) -> bytes:
    return chunk(2, *(chunk(2, number(1, size)) for size in sizes))


def tensor(array: np.ndarray) -> bytes:
    """A TensorProto of floats."""
    content = np.ascontiguousarray(array).tobytes()
    return (
        number(1, _DTYPES[array.dtype.name]) + _shape(array.shape) + chunk(4, content)
    )


def strings(values: list[bytes], shape: tuple[int, ...]) -> bytes:
    """A TensorProto of bytes."""
    return number(1, _STRING) + _shape(shape) + b"".join(chunk(8, v) for v in values)


# ---- what is shown


def histogram(values: Tensor, buckets: int = 30) -> np.ndarray:
    """Rows of left edge, right edge and count; values that are not finite are left out.

    >>> histogram([1.0, 2.0, 2.0], buckets=2).tolist()
    [[1.0, 1.5, 1.0], [1.5, 2.0, 2.0]]
    """
    flat = np.asarray(values, np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return np.zeros((0, 3))
    low, high = flat.min(), flat.max()
    if low == high:
        return np.array([[low - 0.5, high + 0.5, flat.size]])
    counts, edges = np.histogram(flat, buckets, (low, high))
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def png(pixels: np.ndarray) -> bytes:
    """An image file of bytes of shape (height, width, 1, 3 or 4)."""
    height, width, channels = pixels.shape
    colour = {1: 0, 3: 2, 4: 6}[channels]

    def part(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype("uint8"))
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", header)
        + part(b"IDAT", zlib.compress(rows))
        + part(b"IEND", b"")
    )


# ---- the file


class EventFile:
    """A file of events in a folder; made with its first event.

    Events are kept until `flush`, which appends them: no handle stays open.
    """

    _numbers = itertools.count()

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.path: str | None = None
        self._waiting: list[bytes] = []

    def _add(self, step: int, body: bytes) -> None:
        event = double(1, time.time()) + number(2, step) + body
        self._waiting.append(record(event))

    def _summary(
        self, tag: str, step: int, plugin: str, data_class: int, value: bytes,
        content: bytes = b"",
    ) -> None:  # fmt: skip
        kind = chunk(1, chunk(1, plugin), chunk(2, content)) + number(4, data_class)
        item = chunk(1, chunk(1, tag), chunk(8, value), chunk(9, kind))
        self._add(step, chunk(5, item))

    def scalar(self, tag: str, value: object, step: int) -> None:
        """A number."""
        self._summary(tag, step, "scalars", 1, tensor(np.asarray(value, "float32")))

    def histogram(self, tag: str, values: Tensor, step: int) -> None:
        """How values are distributed."""
        self._summary(tag, step, "histograms", 2, tensor(histogram(values)))

    def images(self, tag: str, images: np.ndarray, step: int, most: int = 3) -> None:
        """Images in 0 … 1 of shape (number, height, width, channels); the first few."""
        _, height, width, _ = images.shape
        pixels = (np.clip(np.nan_to_num(images[:most]), 0, 1) * 255 + 0.5).astype(
            "uint8"
        )
        files = [png(image) for image in pixels]
        values = [str(width).encode(), str(height).encode(), *files]
        self._summary(tag, step, "images", 3, strings(values, (len(values),)))

    def keras_model(self, tag: str, config: str) -> None:
        """The graph of a model's layers, from its configuration in JSON."""
        value = strings([config.encode()], ())
        self._summary(tag, 0, "graph_keras_model", 3, value, content=b"1")

    def position(self) -> list[Any]:
        """The file's name, and how long it is; with what waits written."""
        self.flush()
        if self.path is None:
            return [None, 0]
        return [os.path.basename(self.path), os.path.getsize(self.path)]

    def cut(self, position: list[Any]) -> None:
        """Take away what an earlier file got after a `position()`."""
        name, size = position
        path = os.path.join(self.folder, os.path.basename(name or ""))
        if name and is_first() and os.path.isfile(path):
            if os.path.getsize(path) > size:
                os.truncate(path, size)

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting or not is_first():
            self._waiting = []
            return
        if self.path is None:
            os.makedirs(self.folder, exist_ok=True)
            name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
            name += f".{os.getpid()}.{next(self._numbers)}.v2"
            self.path = os.path.join(self.folder, name)
            version = double(1, time.time()) + chunk(3, "brain.Event:2")
            self._waiting.insert(0, record(version))
        with open(self.path, "ab") as stream:
            stream.write(b"".join(self._waiting))
        self._waiting = []
