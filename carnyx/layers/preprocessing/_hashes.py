"""Hashes of texts, many at once: those by which TensorFlow sorts texts into bins.

`fingerprint64` is FarmHash's, which never changes; `siphash` takes a key. Texts are
grouped by length, and each group is hashed by operations on whole arrays.

References:
    G. Pike, FarmHash: a family of hash functions (Google, 2014).
    J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF" (2012),
    https://eprint.iacr.org/2012/351
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

U64 = np.uint64
K0, K1, K2 = map(U64, (0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F))
Words = np.ndarray  # of uint64, one a text; arithmetic is modulo 2**64


class _Texts:
    """Texts one after another in one buffer, read 8 or 4 bytes at a time."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.length = np.fromiter(map(len, texts), np.int64, len(texts))
        self.start = np.cumsum(self.length) - self.length
        self._buffer = b"".join(texts) + bytes(64)

    def part(self, rows: np.ndarray) -> _Part:
        return _Part(self._buffer, self.start[rows], self.length[rows])


class _Part(NamedTuple):
    """Some of the texts: where each starts, and how long it is."""

    buffer: bytes
    start: np.ndarray
    length: np.ndarray

    def word(self, offset: np.ndarray | int, dtype: str = "<u8") -> Words:
        """The 8 (or 4, or 1) bytes at an offset of each text, as an integer."""
        size = np.dtype(dtype).itemsize
        shape = (len(self.buffer) - size + 1,)
        every = np.ndarray(shape, dtype, self.buffer, strides=(1,))
        return every[self.start + offset].astype(U64)

    def last(self, back: int, dtype: str = "<u8") -> Words:
        """The bytes that begin `back` before the end."""
        return self.word(self.length - back, dtype)


def fingerprint64(texts: Sequence[bytes]) -> Words:
    """FarmHash's Fingerprint64 of each text.

    >>> [hex(h) for h in fingerprint64([b"a", b"carnyx"]).tolist()]
    ['0xb3454265b6df75e3', '0x5815145c69140632']
    """
    all_texts = _Texts(texts)
    hashes = np.full(len(texts), K2)
    kinds = np.searchsorted([0, 3, 7, 16, 32, 64], all_texts.length)
    of_kind = (_up_to_3, _up_to_7, _up_to_16, _up_to_32, _up_to_64, _longer)
    with np.errstate(over="ignore"):
        for kind, hash_of in enumerate(of_kind, 1):
            rows = np.flatnonzero(kinds == kind)
            if rows.size:
                hashes[rows] = hash_of(all_texts.part(rows))
    return hashes


def _rotate(x: Words, by: int) -> Words:
    """To the right."""
    return (x >> U64(by)) | (x << U64(64 - by))


def _shift_mix(x: Words) -> Words:
    return x ^ (x >> U64(47))


def _mix(u: Words, v: Words, factor: Words) -> Words:
    a = _shift_mix((u ^ v) * factor)
    return _shift_mix((v ^ a) * factor) * factor


def _factor(t: _Part) -> Words:
    return K2 + t.length.astype(U64) * U64(2)


def _up_to_3(t: _Part) -> Words:
    first, middle, last = t.word(0, "u1"), t.word(t.length >> 1, "u1"), t.last(1, "u1")
    y = first + (middle << U64(8))
    z = t.length.astype(U64) + (last << U64(2))
    return _shift_mix(y * K2 ^ z * K0) * K2


def _up_to_7(t: _Part) -> Words:
    u = t.length.astype(U64) + (t.word(0, "<u4") << U64(3))
    return _mix(u, t.last(4, "<u4"), _factor(t))


def _up_to_16(t: _Part) -> Words:
    factor, a, b = _factor(t), t.word(0) + K2, t.last(8)
    return _mix(_rotate(b, 37) * factor + a, (_rotate(a, 25) + b) * factor, factor)


def _up_to_32(t: _Part) -> Words:
    factor = _factor(t)
    a, b, c, d = t.word(0) * K1, t.word(8), t.last(8) * factor, t.last(16) * K2
    u = _rotate(a + b, 43) + _rotate(c, 30) + d
    return _mix(u, a + _rotate(b + K2, 18) + c, factor)


def _up_to_64(t: _Part) -> Words:
    factor = _factor(t)
    a, b, c, d = t.word(0) * K2, t.word(8), t.last(8) * factor, t.last(16) * K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = _mix(y, a + _rotate(b + K2, 18) + c, factor)
    e, f = t.word(16) * factor, t.word(24)
    g, h = (y + t.last(32)) * factor, (z + t.last(24)) * factor
    u = _rotate(e + f, 43) + _rotate(g, 30) + h
    return _mix(u, e + _rotate(f + a, 18) + g, factor)


def _weak(t: _Part, at: np.ndarray, a: Words, b: Words) -> tuple[Words, Words]:
    """Two words from the 32 bytes at `at` and two seeds."""
    w, x, y, z = (t.word(at + 8 * i) for i in range(4))
    a = a + w
    b = _rotate(b + a + z, 21)
    c = a + x + y
    return c + z, b + _rotate(c, 44) + a


def _longer(t: _Part) -> Words:
    """Blocks of 64 bytes, then the last 64 bytes whatever they overlap."""
    count, seed = len(t.length), U64(81)
    y = np.full(count, seed * K1 + U64(113))
    z = _shift_mix(y * K2 + U64(113)) * K2
    v = w = (np.zeros(count, U64), np.zeros(count, U64))
    state: Any = (seed * K2 + t.word(0), y, z, v, w)
    blocks = (t.length - 1) // 64
    for block in range(int(blocks.max())):
        on = block < blocks
        at = np.where(on, 64 * block, 0)  # those that have ended are left out
        x, y, z, v, w = state
        new = _block(t, at, x, y, z, v, w, K1, U64(1))
        state = _where(on, new, state)
    x, y, z, v, w = state
    factor = K1 + ((z & U64(0xFF)) << U64(1))
    first_w = w[0] + ((t.length - 1).astype(U64) & U64(63))
    first_v = v[0] + first_w
    v, w = (first_v, v[1]), (first_w + first_v, w[1])
    x, y, z, v, w = _block(t, t.length - 64, x, y, z, v, w, factor, U64(9))
    u = _mix(v[0], w[0], factor) + _shift_mix(y) * K0 + z
    return _mix(u, _mix(v[1], w[1], factor) + x, factor)


def _block(
    t: _Part, at: np.ndarray, x: Words, y: Words, z: Words, v: Any, w: Any,
    factor: Any, times: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """One block of 64 bytes into the state; `times` differs in the last one."""
    x = _rotate(x + y + v[0] + t.word(at + 8), 37) * factor
    y = _rotate(y + v[1] + t.word(at + 48), 42) * factor
    x = x ^ (w[1] * times)
    y = y + v[0] * times + t.word(at + 40)
    z = _rotate(z + w[0], 33) * factor
    v = _weak(t, at, v[1] * factor, x + w[0])
    w = _weak(t, at + 32, z + w[1], y + t.word(at + 16))
    return z, y, x, v, w


def _where(on: np.ndarray, new: Any, old: Any) -> tuple[Any, ...]:
    return tuple(
        _where(on, n, o) if isinstance(n, tuple) else np.where(on, n, o)
        for n, o in zip(new, old, strict=True)
    )


def siphash(texts: Sequence[bytes], key: Sequence[int]) -> Words:
    """SipHash-2-4 of each text, under a key of two integers.

    >>> hex(siphash([bytes(range(15))], (0x0706050403020100, 0x0F0E0D0C0B0A0908))[0])
    '0xa129ca6149be45e5'
    """
    k0, k1 = (U64(k % (1 << 64)) for k in key)
    ends = [len(t) % 256 for t in texts]
    padded = [
        t + bytes(7 - len(t) % 8) + bytes([e]) for t, e in zip(texts, ends, strict=True)
    ]
    if not padded:
        return np.zeros(0, U64)
    t = _Texts(padded).part(np.arange(len(padded)))
    state: Any = [
        np.full(len(padded), word ^ key)
        for word, key in zip(map(U64, _SIP_START), (k0, k1, k0, k1), strict=True)
    ]
    with np.errstate(over="ignore"):
        for i in range(int(t.length.max()) // 8):
            on = 8 * i < t.length
            word = t.word(np.where(on, 8 * i, 0))
            v0, v1, v2, v3 = state
            v0, v1, v2, v3 = _sip_rounds(v0, v1, v2, v3 ^ word, 2)
            new = (v0 ^ word, v1, v2, v3)
            state = [np.where(on, n, o) for n, o in zip(new, state, strict=True)]
        v0, v1, v2, v3 = state
        v0, v1, v2, v3 = _sip_rounds(v0, v1, v2 ^ U64(0xFF), v3, 4)
    return v0 ^ v1 ^ v2 ^ v3


_SIP_START = (
    0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573,
)  # fmt: skip


def _sip_rounds(
    v0: Words, v1: Words, v2: Words, v3: Words, rounds: int
) -> tuple[Words, Words, Words, Words]:
    for _ in range(rounds):
        v0, v2 = v0 + v1, v2 + v3
        v1, v3 = _rotate(v1, 64 - 13) ^ v0, _rotate(v3, 64 - 16) ^ v2
        v0 = _rotate(v0, 32)
        v2, v0 = v2 + v1, v0 + v3
        v1, v3 = _rotate(v1, 64 - 17) ^ v2, _rotate(v3, 64 - 21) ^ v0
        v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


def fingerprint_cat(first: Words, second: Words) -> Words:
    """One hash of two, which depends on their order."""
    factor = U64(0xC6A4A7935BD1E995)
    with np.errstate(over="ignore"):
        mixed = (first ^ factor) ^ (_shift_mix(second * factor) * factor)
        return _shift_mix(_shift_mix(mixed * factor) * factor)
