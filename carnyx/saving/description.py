"""What every format is read into and written from: a model as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

TOP = "top_level_model_weights"  # the place of a model's own weights, by layer


class Stored:
    """An array in a file, read when it is asked for.

    Attributes:
        member: where in the file it stands.
    """

    __slots__ = ("_read", "dtype", "member", "shape")

    def __init__(
        self,
        member: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
        read: Callable[[], np.ndarray],
    ) -> None:
        self.member, self.shape, self.dtype, self._read = member, shape, dtype, read

    def read(self) -> np.ndarray:
        """The values."""
        return self._read()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self._read()
        return array if dtype is None else array.astype(dtype)

    def __getitem__(self, index: Any) -> Any:
        return self._read()[index]

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<Stored {self.member} {self.shape} {self.dtype}>"


@dataclass
class Group:
    """The arrays of one layer or optimizer, in order, and its name in the file.

    Attributes:
        places: of each array, which weight of the layer it is, where the file says so.
        trained: of an optimizer, which weights of the model its state is for.
    """

    name: str | None = None
    arrays: dict[str, Any] = field(default_factory=dict)
    places: list[int] | None = None
    trained: list[int] | None = None


@dataclass
class ModelDescription:
    """A model between file and memory.

    Attributes:
        source: the file's name, for messages.
        config: the record of the model as `serialize_keras_object` gives it, without
            `compile_config`; None in a file that holds weights only.
        compile_config: what `compile` was given, as plain data.
        weights: by place: the path of the owner in the tree of objects
            (`layers/dense`), or the name of the layer, as `by` says.
        optimizer: the same for the optimizer; its own place is the empty string.
        metadata: the version of the writer, and the like.
        assets: files of layers that write some, by place, then by name.
    """

    source: str
    config: dict[str, Any] | None = None
    compile_config: dict[str, Any] | None = None
    weights: dict[str, Group] = field(default_factory=dict)
    optimizer: dict[str, Group] = field(default_factory=dict)
    by: Literal["path", "layer"] = "path"
    metadata: dict[str, Any] = field(default_factory=dict)
    assets: dict[str, dict[str, bytes]] = field(default_factory=dict)
