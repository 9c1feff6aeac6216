"""What a restoration will assign: all of it fits, or nothing is changed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from carnyx.dtype_policies import is_float
from carnyx.errors import DTypeError, ShapeError
from carnyx.saving.description import Group, ModelDescription

Plan = list[tuple[Any, Any]]  # (variable, stored array)


class Restoring:
    """One restoration: what fits is planned first, and assigned at the end.

    Args:
        skip_mismatch: warn about what does not fit, instead of refusing the file.
    """

    def __init__(self, description: ModelDescription, skip_mismatch: bool) -> None:
        self.file, self.skip = description.source, skip_mismatch
        self.plan: Plan = []
        self.calls: list[tuple[Any, Group]] = []

    def mismatch(self, error: type[Exception], message: str) -> None:
        """Something does not fit."""
        if not self.skip:
            raise error(f"{self.file}: {message} Nothing was changed.")
        warnings.warn(f"{self.file}: {message} It keeps its values.", stacklevel=5)

    def match(self, where: str, variables: Sequence[Any], group: Group) -> None:
        """Plan the variables of one owner from one group, by position."""
        arrays = list(group.arrays.values())
        if len(arrays) != len(variables):
            self.mismatch(
                ShapeError,
                f"{where} has {len(variables)} weights, the file has {len(arrays)}.",
            )
            return
        for variable, array in zip(variables, arrays, strict=True):
            problem = misfit(variable, array)
            if problem is None:
                self.plan.append((variable, array))
            else:
                self.mismatch(problem[0], f"{where}: {problem[1]}")

    def carry_out(self) -> None:
        """Read everything, then assign everything."""
        values = [
            (variable, _fitting(variable, array)) for variable, array in self.plan
        ]
        for variable, value in values:
            if value.dtype.kind == "f" and np.isnan(value).any():
                warnings.warn(
                    f"{self.file}: weight {variable.path!r} has NaN in it.",
                    stacklevel=4,
                )
            variable.assign(value)
        for item, group in self.calls:
            try:
                item.load_own_variables(group.arrays)
            except Exception as error:
                error.add_note(
                    f"  while reading the weights of {item!r} from {self.file}"
                )
                raise


def misfit(variable: Any, array: Any) -> tuple[type[Exception], str] | None:
    """Why an array cannot become the value of a variable, or None."""
    member = getattr(array, "member", "")
    if tuple(array.shape) != tuple(variable.shape):
        return ShapeError, (
            f"weight {variable.path!r} has shape {tuple(variable.shape)}, "
            f"{member!r} in the file has {tuple(array.shape)}."
        )
    if _kind(array.dtype) != _kind(variable.dtype):
        return DTypeError, (
            f"weight {variable.path!r} has dtype {variable.dtype}, {member!r} in the "
            f"file has {np.dtype(array.dtype).name}."
        )
    return None


def _kind(dtype: Any) -> str:
    if is_float(dtype):
        return "float"
    return {"u": "integer", "i": "integer"}.get(np.dtype(dtype).kind, str(dtype))


def _fitting(variable: Any, array: Any) -> np.ndarray:
    """The values in the variable's dtype; integers must not change."""
    value = array.read() if hasattr(array, "read") else np.asarray(array)
    if _kind(variable.dtype) == "integer":
        cast = value.astype(variable.dtype)
        if not np.array_equal(cast, value):
            raise DTypeError(
                f"weight {variable.path!r} has dtype {variable.dtype}; the file's "
                "values do not fit into it."
            )
        return cast
    return (
        value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    )
