"""Which dtype a layer computes in, and which its weights are kept in."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from carnyx import _settings
from carnyx.errors import ArgumentError, DTypeError, UnknownDTypeError
from carnyx.typing import DTypeLike

_PYTHON_TYPES = {bool: "bool", int: "int32", float: None, complex: "complex64"}
_MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}
_SPECIAL = {"bfloat16": ml_dtypes.bfloat16, "int4": ml_dtypes.int4}


def standardize_dtype(dtype: DTypeLike) -> str:
    """The name of a dtype given in any form; None is `floatx`.

    >>> standardize_dtype(float), standardize_dtype("half"), standardize_dtype(None)
    ('float32', 'float16', 'float32')
    """
    if dtype is None or dtype is float:
        return _settings.get("floatx")
    if isinstance(dtype, type) and dtype in _PYTHON_TYPES:
        return _PYTHON_TYPES[dtype]  # type: ignore[return-value]
    if isinstance(dtype, str) and dtype in ("string", *_SPECIAL):
        return dtype
    text = str(dtype)
    if text.startswith(("torch.", "<dtype: '")):  # PyTorch's, TensorFlow's
        dtype = text.removeprefix("torch.").removeprefix("<dtype: '").rstrip("'>")
    try:
        return jnp.dtype(dtype).name
    except TypeError:
        raise UnknownDTypeError(
            f"{dtype!r} is no dtype; expected a name like 'float32' or 'int32', "
            "a NumPy dtype, or one of bool, int, float, complex."
        ) from None


def check_real(given: DTypeLike, wanted: DTypeLike, what: str) -> None:
    """Refuse complex numbers where real ones are computed with.

    Args:
        what: what is complex, as the message begins with it.

    Raises:
        DTypeError: where an imaginary part would be lost.
    """
    kinds = [jnp.dtype(dtype).kind for dtype in (given, wanted)]
    if kinds[0] == "c" != kinds[1]:
        raise DTypeError(
            f"{what} is complex ({jnp.dtype(given).name}); expected {wanted}, in which "
            "the imaginary part would be lost. Pass x.real or abs(x), or both parts "
            "as two channels."
        )


def is_float(dtype: DTypeLike) -> bool:
    """True for the floating dtypes, 8-bit and bfloat16 included."""
    return dtype != "string" and jnp.issubdtype(jnp.dtype(dtype), np.floating)


def is_integer(dtype: DTypeLike) -> bool:
    """True for the signed and unsigned integer dtypes, and bool is none of them."""
    return dtype != "string" and jnp.issubdtype(jnp.dtype(dtype), np.integer)


class DTypePolicy:
    """The dtypes of a layer: `compute_dtype` inside, `variable_dtype` for weights.

    Args:
        name: a float dtype, `"mixed_bfloat16"` or `"mixed_float16"` (weights in
            float32); None gives the global policy.

    >>> DTypePolicy("mixed_bfloat16").compute_dtype
    'bfloat16'
    """

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise DTypeError(f"A dtype policy needs a name; got {name!r}.")
        self._name = name
        if name in _MIXED:
            self._compute, self._variable = _MIXED[name], "float32"
        else:
            try:
                self._compute = self._variable = standardize_dtype(name)
            except DTypeError:
                raise ArgumentError(
                    f"Unknown dtype policy {name!r}; expected a dtype such as "
                    "'float32', or 'mixed_bfloat16' or 'mixed_float16'."
                ) from None

    name = property(lambda self: self._name)
    compute_dtype = property(lambda self: self._compute)
    variable_dtype = property(lambda self: self._variable)
    quantization_mode = property(lambda self: None)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


FloatDTypePolicy = DTypePolicy


def dtype_policy() -> DTypePolicy:
    """The global policy; `floatx` unless one was set."""
    return DTypePolicy(_settings.get("dtype_policy") or _settings.get("floatx"))


def set_dtype_policy(policy: str | DTypePolicy) -> None:
    """Set the policy that layers made from now on have by default.

    >>> set_dtype_policy("mixed_bfloat16"); dtype_policy().compute_dtype
    'bfloat16'
    >>> set_dtype_policy("float32")
    """
    if policy is None:
        raise ArgumentError(
            "set_dtype_policy got None; expected a dtype, or the name of a policy such "
            "as 'mixed_bfloat16'."
        )
    _settings.put("dtype_policy", get(policy).name)


def get(identifier: object) -> DTypePolicy:
    """A policy from a name, a dtype, a config, a policy, or None (the global one)."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    return DTypePolicy(standardize_dtype(identifier))


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """The form in which Keras 3 stores a policy."""
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": dtype_policy.get_config(),
        "registered_name": None,
    }


def deserialize(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> DTypePolicy:
    """The inverse of `serialize`; older class names are understood."""
    name = config.get("class_name")
    if custom_objects and name in custom_objects:
        return custom_objects[name].from_config(config["config"])
    if name not in ("DTypePolicy", "FloatDTypePolicy", "Policy"):
        raise ArgumentError(
            f"Got dtype policy class {name!r}; expected 'DTypePolicy'. "
            "Quantized policies are not supported."
        )
    return DTypePolicy.from_config(config["config"])
