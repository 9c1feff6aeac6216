"""Texts and integers sorted into bins by their hashes."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx import dtype_policies
from carnyx.configurable import attribute, field, positive
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers.input_spec import label
from carnyx.layers.preprocessing import _hashes
from carnyx.layers.preprocessing._encoding import (
    MODES,
    encoded_on_host,
    encoded_shape,
    mode_in,
    modern_mode,
    refuse_sparse,
)
from carnyx.layers.preprocessing._host import HostLayer
from carnyx.layers.preprocessing._pipelines import ShortConfig
from carnyx.layers.preprocessing._texts import as_bytes, is_text, number_texts
from carnyx.typing import Shape, Tensor

_CROSSING_KEY = 0xDECAFCAFFE  # TensorFlow's


def as_salt(salt: Any) -> list[int] | None:
    """A key of two integers.

    Raises:
        ArgumentError: for anything but an integer, or two.
    """
    if salt is None:
        return None
    if isinstance(salt, int):
        return [salt, salt]
    if isinstance(salt, tuple | list) and len(salt) == 2:
        return list(salt)
    raise ArgumentError(f"salt got {salt!r}; expected an integer, or two of them.")


def bins_of(texts: list[bytes], bins: int, salt: list[int] | None) -> np.ndarray:
    """The bin of each text, by FarmHash, or by SipHash where there is a salt."""
    hashes = (
        _hashes.fingerprint64(texts) if salt is None else _hashes.siphash(texts, salt)
    )
    return (hashes % np.uint64(bins)).astype(np.int64)


class _Binned(HostLayer, register=False):
    """Base of what gives numbers of bins: integers by default, and encoded, floats."""

    num_bins: int = attribute()
    output_mode: str = attribute()
    output_dtype = property(lambda self: self.dtype)  # type: ignore[assignment]

    @property
    def dtype_policy(self) -> Any:
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: object) -> None:
        self._dtype_policy, self._by_default = dtype_policies.get(value), value is None

    def __post_init__(self) -> None:
        refuse_sparse(self)
        if self.output_mode != "int":
            return
        if self._by_default:
            self.dtype_policy = "int64"
        elif self.dtype not in ("int32", "int64"):
            raise ArgumentError(
                f"{label(self)} got dtype={self.dtype!r} with output_mode='int'; "
                "expected 'int32' or 'int64'."
            )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return encoded_shape(input_shape, self.output_mode, self.num_bins)

    def _encoded(self, bins: np.ndarray) -> np.ndarray:
        return encoded_on_host(bins, self.output_mode, self.num_bins, self.dtype)


class Hashing(_Binned):
    """The number of the bin to which the hash of a text or an integer belongs.

    The hash is FarmHash's Fingerprint64 of the text, or SipHash with a `salt`; an
    integer is hashed as its decimal digits, a float as the integer that it begins
    with. Equal inputs have equal bins everywhere, as in TensorFlow.

    Shapes: int: any -> the same; one_hot: (…, 1) -> (…, num_bins);
        multi_hot, count: (…, n) -> (…, num_bins)

    Args:
        mask_value: what bin 0 is kept for.
        salt: an integer or two, the key of another hash.

    >>> Hashing(num_bins=3)([["A"], ["B"], ["C"], ["D"], ["E"]]).tolist()
    [[1], [0], [1], [1], [2]]
    """

    num_bins: int = field(check=positive)
    mask_value: Any = field(None)
    salt: Any = field(None, as_salt)
    output_mode: str = field("int", modern_mode, check=mode_in(*MODES))
    sparse: bool = field(False)

    def on_host(self, inputs: np.ndarray) -> np.ndarray:
        return self._encoded(self._bins(inputs))

    def _bins(self, inputs: np.ndarray) -> np.ndarray:
        if inputs.dtype.kind == "f":
            inputs = inputs.astype(np.int64)
        texts = as_bytes(inputs) if is_text(inputs) else number_texts(inputs)
        if self.mask_value is None or self.num_bins == 1:
            return bins_of(texts, self.num_bins, self.salt).reshape(inputs.shape)
        others = 1 + bins_of(texts, self.num_bins - 1, self.salt)
        return np.where(self._masked(texts), 0, others).reshape(inputs.shape)

    def _masked(self, texts: list[bytes]) -> np.ndarray:
        (mask,) = as_bytes([str(self.mask_value)])
        return np.fromiter((text == mask for text in texts), bool, len(texts))


class HashedCrossing(ShortConfig, _Binned):
    """The number of the bin to which several features belong together.

    The hash of the features, one after another, modulo `num_bins`.

    Shapes: several of (), (batch,) or (batch, 1) -> the same, or with one_hot
        (num_bins,), (batch, num_bins)

    >>> import numpy as np
    >>> letters, numbers = np.array(["A", "B", "A"]), np.array([101, 101, 102])
    >>> HashedCrossing(num_bins=5)((letters, numbers)).tolist()
    [1, 4, 3]
    """

    num_bins: int = field(check=positive)
    output_mode: str = field("int", modern_mode, check=mode_in("int", "one_hot"))
    sparse: bool = field(False)

    def on_host(self, inputs: Tensor) -> np.ndarray:
        self._check(inputs)
        shape = inputs[0].shape
        hashes = np.full(int(np.prod(shape)), _CROSSING_KEY, np.uint64)
        for feature in inputs:
            own = (
                _hashes.fingerprint64(as_bytes(feature))
                if is_text(feature)
                else feature.ravel().astype(np.int64).astype(np.uint64)
            )
            hashes = _hashes.fingerprint_cat(hashes, own)
        bins = (hashes % np.uint64(self.num_bins)).astype(np.int64).reshape(shape)
        return self._encoded(bins)

    def _check(self, inputs: Tensor) -> None:
        for feature in inputs:
            if not (is_text(feature) or feature.dtype.kind in "iu"):
                raise ArgumentError(
                    f"{label(self)} got a feature of dtype {feature.dtype}; expected "
                    "integers or texts. Sort floats into bins first: "
                    "layers.Discretization."
                )

    def _check_first(self, call: Any) -> None:
        super()._check_first(call)
        features = call.first
        if not isinstance(features, list | tuple) or len(features) < 2:
            raise ArgumentError(
                f"{label(self)} got {type(features).__name__}; it is called on a list "
                "or tuple of at least two inputs: layer((a, b))."
            )
        shapes = [tuple(f.shape) for f in features]
        wide = len(shapes[0]) > 2 or (len(shapes[0]) == 2 and shapes[0][-1] != 1)
        if wide or len(set(shapes)) > 1:
            raise ShapeError(
                f"{label(self)} got features of shapes {shapes}; expected all of one "
                "shape: (), (batch,) or (batch, 1)."
            )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return super().compute_output_shape(input_shape[0])


__all__ = ["HashedCrossing", "Hashing"]
