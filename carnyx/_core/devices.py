"""The device that was asked for, checked at first use and not before."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import jax

from carnyx import _settings
from carnyx._core.scope import current, scoped
from carnyx.errors import DeviceError


def find_device(name: Any) -> Any:
    """A device from `"gpu:1"`, `"/gpu:1"`, `"/device:GPU:1"`, `"cpu"`, or itself.

    Raises:
        DeviceError: where there is none, with the list of those that are.
    """
    if not isinstance(name, str):
        return name
    kind, _, number = name.lower().strip("/").removeprefix("device:").partition(":")
    kind = "gpu" if kind == "cuda" else kind
    index = int(number) if number.isdigit() else 0
    found = [d for d in _all_devices() if _kind(d) == kind]
    if index < len(found) and (number == "" or number.isdigit()):
        return found[index]
    there = ", ".join(map(device_name, _all_devices()))
    raise DeviceError(
        f"Device {name!r} is not there; this machine has {there}. Ask for one of "
        "them, or leave the device out: a GPU is used when there is one."
    )


@contextlib.contextmanager
def device(name: Any) -> Iterator[Any]:
    """Within it, layers that are called on symbolic tensors are placed on a device.

    A functional or sequential model whose layers were placed runs them there: each
    largest part of it on one device is one program, values are moved between, and parts
    that do not wait for each other overlap. A layer shared by two devices keeps its
    weights where it was called first. A layer called outside of any scope runs with
    what comes before it, else with what comes after. A model called inside a scope runs
    there but for those of its layers that have a scope of their own. Arrays and
    variables that are made inside are on the device, too. The innermost scope counts.

    Args:
        name: `"gpu:1"`, `"/gpu:1"`, `"/device:GPU:1"`, `"cpu:0"`, a JAX device; None
            ends the scopes around.

    Raises:
        DeviceError: where there is no such device, with a list of those that are.

    >>> import carnyx as keras
    >>> x = keras.Input((4,))
    >>> with keras.device("cpu:0"):
    ...     y = keras.layers.Dense(2)(x)
    >>> keras.Model(x, y).predict(keras.ops.ones((1, 4)), verbose=0).shape
    (1, 2)
    """
    found = None if name is None else find_device(name)
    if found is not None and not isinstance(found, jax.Device):
        raise DeviceError(
            f"device() got {name!r}; expected a name such as 'gpu:0', or a JAX device."
        )
    _scopes_used[0] |= found is not None
    with scoped(device=found), jax.default_device(found):
        yield found


_scopes_used = [False]


def scopes_were_used() -> bool:
    """Whether values may be on another device than the default one."""
    return _scopes_used[0]


def devices_of(kind: str | None = None) -> list[Any]:
    """All devices of a kind (`"cpu"`, `"gpu"`, `"tpu"`), of the default one for None.

    Raises:
        DeviceError: where there are none.
    """
    if kind is None:
        return list(jax.devices())
    return list(jax.devices(find_device(kind).platform))


class _Reading:
    """Devices named in a file, while a model is made from it."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.missing: dict[str, None] = {}


_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextlib.contextmanager
def saved_devices(strict: bool = False) -> Iterator[None]:
    """Around the making of a model from data; warns once of devices not there.

    Args:
        strict: a device that is not there is a DeviceError.
    """
    if _reading.get() is not None:
        yield
        return
    reading = _Reading(strict)
    token = _reading.set(reading)
    try:
        yield
    finally:
        _reading.reset(token)
    if reading.missing:
        names = ", ".join(reading.missing)
        there = ", ".join(map(device_name, _all_devices()))
        warnings.warn(
            f"The placement of layers on {names} is ignored: this machine has {there}.",
            stacklevel=4,
        )


def saved_device(name: Any) -> Any:
    """The device that a file names for a layer; the scope in force where it names none,
    or one that is not there."""
    here = current().device
    if not isinstance(name, str):
        return here
    try:
        return find_device(name)
    except DeviceError:
        reading = _reading.get()
        if reading is None or reading.strict:
            raise
        reading.missing[name] = None
        return here


def default_device() -> Any:
    """Where JAX computes what nobody placed."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    if isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return chosen or jax.local_devices()[0]


def device_name(device: Any) -> str:
    """`"gpu:1"`: the kind and the number, which is unique over all hosts."""
    return f"{_kind(device)}:{device.id}"


def _kind(device: Any) -> str:
    return "gpu" if device.platform in ("gpu", "cuda", "rocm") else device.platform


def _all_devices() -> list[Any]:
    """The default platform's devices, then the host's."""
    devices = list(jax.devices())
    if devices[0].platform != "cpu":
        try:
            devices += jax.devices("cpu")
        except RuntimeError:  # platforms were restricted to the accelerator
            return devices
    return devices


_applied: list[str | None] = [None]


def ensure_device() -> None:
    """Make the configured device JAX's default; called before arrays are made."""
    name = _settings.get("device")
    if name != _applied[0]:
        device = None if name is None else find_device(name)
        jax.config.update("jax_default_device", device)
        _applied[0] = name
