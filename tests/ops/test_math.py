"""`carnyx.ops.math` and the Fourier transforms against Keras 3.15 on JAX."""

import keras
import numpy as np
import pytest

import carnyx.ops.math as ours
from carnyx._core.symbol import KerasTensor
from tests.ops.parity import check, check_symbolic, same

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.normal(size=shape).astype("float32")


X, Y, P = normal(2, 5), normal(2, 5), rng.uniform(0.1, 0.9, 5).astype("float32")
DATA, IDS = normal(6, 3), np.array([0, 2, 0, 4, 2, 2])
ORDERED = np.array([0, 0, 1, 1, 1, 3])
TIES = np.array([[1.0, 3.0, 3.0, 2.0], [np.nan, 1.0, 0.0, 2.0]], "float32")
SIGNAL = normal(2, 40)
SPECTRA = normal(2, 11, 9), normal(2, 11, 9)
C = (normal(2, 3) + 1j * normal(2, 3)).astype("complex64")
IMG = normal(2, 4, 6, 3)

ROWS = [
    *[(f"segment_{n}", (DATA, IDS, 5), {}) for n in "sum max min prod".split()],
    ("segment_sum", (DATA, ORDERED, 4, True), {}),
    ("top_k", (X, 3), {}),
    ("top_k", (np.array([3, 1, 4, 1]), 2), dict(sorted=False)),
    *[("in_top_k", (np.array([2, 3]), TIES, k), {}) for k in (1, 2)],
    ("logsumexp", (X,), {}),
    ("logsumexp", (X,), dict(axis=(0, 1), keepdims=True)),
    ("logsumexp", (X,), dict(axis=1)),
    ("cdist", (normal(2, 4, 3), normal(2, 5, 3)), {}),
    ("extract_sequences", (SIGNAL, 7, 3), {}),
    ("extract_sequences", (normal(2, 3, 9), 4, 2), {}),
    *[(name, ((X, Y),), {}) for name in "fft fft2 ifft2 irfft".split()],
    ("irfft", ((X, Y), 7), {}),
    ("rfft", (X,), {}),
    ("rfft", (X, 8), {}),
    ("stft", (SIGNAL, 8, 4, 16), {}),
    ("stft", (SIGNAL, 7, 3, 10), dict(window="hamming", center=False)),
    ("stft", (SIGNAL, 5, 2, 5), dict(window=P)),
    ("stft", (SIGNAL, 5, 5, 8), dict(window=None)),
    ("istft", (SPECTRA, 12, 4, 16), {}),
    ("istft", (SPECTRA, 16, 4, 16), dict(window="hamming", length=40)),
    ("rsqrt", (P,), {}),
    *[(name, (0.9 * P,), {}) for name in "erf erfc erfinv".split()],
    ("logdet", (normal(2, 3, 3),), {}),
    ("view_as_complex", (X[:, :2],), {}),
    ("view_as_real", (C,), {}),
    ("rearrange", (IMG, "b h w c -> b c h w"), {}),
    ("rearrange", (IMG, "b (h p) w c->b h (w p c)"), dict(p=2)),
    ("rearrange", (IMG, "b (h h1) (w w1) c -> b h w (c h1 w1)"), dict(h1=2, w1=3)),
]  # fmt: skip
# Keras differentiates products through a logarithm, roots at 0, …
SMOOTH = {"segment_prod": False, "in_top_k": False, "view_as_real": False}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_values_dtypes_and_gradients_are_those_of_keras(row):
    name, args, kwargs = row
    if name == "rearrange":  # which Keras cannot trace where it splits
        same(ours.rearrange(*args, **kwargs), keras.ops.rearrange(*args, **kwargs))
        return
    gradient = SMOOTH.get(name, True)
    check(getattr(ours, name), getattr(keras.ops, name), args, kwargs, 2e-5, gradient)


SYMBOLIC = """top_k logsumexp extract_sequences rfft stft rsqrt erf logdet
view_as_complex""".split()


@pytest.mark.parametrize("name", SYMBOLIC)
def test_static_shapes_of_an_unknown_batch_are_those_of_keras(name):
    args, kwargs = next(
        (a, k) for n, a, k in ROWS if n == name and np.ndim(a[0]) > 0
    )  # fmt: skip
    check_symbolic(getattr(ours, name), getattr(keras.ops, name), args, kwargs)


def test_the_number_of_segments_is_read_where_it_is_not_traced():
    # Keras on JAX always asks for it.
    assert ours.segment_sum([1, 2, 3], [0, 2, 2]).tolist() == [1, 0, 5]


@pytest.mark.parametrize("stride, center", [(4, True), (2, False), (3, True)])
def test_the_short_time_transform_and_back_is_the_signal(stride, center):
    pair = ours.stft(SIGNAL, 12, stride, 16, center=center)
    back = ours.istft(pair, 12, stride, 16, length=30, center=center)
    inner = slice(0 if center else 4, None)  # a window that begins with 0 sees no edge
    np.testing.assert_allclose(back[:, inner], SIGNAL[:, :30][:, inner], atol=1e-4)


def test_the_inverse_without_a_window_is_the_inverse_too():
    # Keras 3.15 gives the signal times fft_length / stride.
    pair = ours.stft(SIGNAL, 8, 4, 8, window=None)
    back = ours.istft(pair, 8, 4, 8, window=None)
    np.testing.assert_allclose(back, SIGNAL, atol=1e-4)


def test_rearranging_and_back_is_the_identity():
    there = ours.rearrange(IMG, "b (h p) (w q) c -> (b p) h w (q c)", p=2, q=3)
    back = ours.rearrange(there, "(b p) h w (q c) -> b (h p) (w q) c", p=2, q=3)
    same(back, IMG)
    open_batch = ours.rearrange(
        KerasTensor((None, 6, 3)), "b (h p) c -> h b (c p)", p=2
    )
    assert open_batch.shape == (3, None, 6)


ERRORS = [
    (ValueError, r"expected \(6,\)", "segment_sum", (DATA, IDS[:3], 5), {}),
    (ValueError, "expected a pair", "fft", (X,), {}),
    (ValueError, "expected one shape", "fft", ((X, Y[:1]),), {}),
    (ValueError, "expected floats", "fft", ((IDS, IDS),), {}),
    (TypeError, "expected float32", "stft", (IDS, 2, 2, 4), {}),
    (ValueError, "fft_length=4 < sequence_length=8", "stft", (SIGNAL, 8, 2, 4), {}),
    (ValueError, "'hann', 'hamming'", "stft", (SIGNAL, 4, 2, 4), dict(window="x")),
    (ValueError, r"expected \(4,\)", "stft", (SIGNAL, 4, 2, 4), dict(window=P)),
    (ValueError, r"expected \(…, n, d\)", "cdist", (X, X[:, :2]), {}),
    (ValueError, r"expected \(…, 2\)", "view_as_complex", (X,), {}),
    (ValueError, "of 3 axes", "rearrange", (IMG, "a b c -> a b c"), {}),
    (ValueError, "sizes of .*'p', 'q'", "rearrange", (X, "(p q) b -> p q b"), {}),
    (ValueError, "cannot split 5", "rearrange", (X, "a (b c) -> a b c"), dict(b=2)),
    (ValueError, "same names", "rearrange", (X, "a b -> a c"), {}),
]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: f"{row[2]}: {row[1]}")
def test_errors_say_what_they_got_and_what_is_expected(row):
    error, text, name, args, kwargs = row
    with pytest.raises(error, match=text):
        getattr(ours, name)(*args, **kwargs)
