"""`keras.preprocessing.sequence`: the older home of `keras.utils.pad_sequences`."""

from carnyx.utils import pad_sequences as pad_sequences

__all__ = ["pad_sequences"]
