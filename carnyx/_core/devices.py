"""The device that was asked for, checked at first use and not before."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import jax

from carnyx import _settings
from carnyx._core.scope import current, in_program, scoped
from carnyx.errors import DeviceError


def find_device(name: str) -> Any:
    """A device from `"gpu:1"`, `"/gpu:1"`, `"/device:GPU:1"`, `"cpu"`, or itself.

    Raises:
        DeviceError: where there is none, with the list of those that are.
    """
    if isinstance(name, jax.Device):
        return name
    if not isinstance(name, str):
        raise DeviceError(
            f"{name!r} is no device; expected a name such as 'gpu:0', or a JAX device."
        )
    kind, index = _parsed(name)
    found = [d for d in _all_devices() if _kind(d) == kind]
    if index is not None and index < len(found):
        return found[index]
    there = ", ".join(map(device_name, _all_devices()))
    raise DeviceError(
        f"Device {name!r} is not there; this machine has {there}. Ask for one of "
        "them, or leave the device out: a GPU is used when there is one."
    )


def _parsed(name: str) -> tuple[str, int | None]:
    """The kind and the number, 0 where there is none; None for what is no number."""
    kind, _, number = name.lower().strip("/").removeprefix("device:").partition(":")
    kind = "gpu" if kind == "cuda" else kind
    index = int(number or 0) if not number or number.isdecimal() else None
    return kind, index


def plain_name(name: str) -> str:
    """The one way to write a device, there or not: `"gpu:1"` for `"/device:GPU:1"`.

    Raises:
        DeviceError: for what is neither a name nor a JAX device.
    """
    if not isinstance(name, str):
        return device_name(find_device(name))
    kind, index = _parsed(name)
    return name if index is None else f"{kind}:{index}"


def device(device_name: str) -> contextlib.AbstractContextManager[Any]:
    """Within it, layers that are called on symbolic tensors are placed on a device.

    A functional or sequential model whose layers were placed runs them there: each
    largest part of it on one device is one program, values are moved between, and parts
    that do not wait for each other overlap. A layer shared by two devices keeps its
    weights where it was called first. A layer called outside of any scope runs with
    what comes before it, else with what comes after. A model called inside a scope runs
    there but for those of its layers that have a scope of their own. Arrays and
    variables that are made inside are on the device, too. The innermost scope counts.
    In a program (a step of training, `jax.jit`) a scope places nothing: one in the
    `call` of a class works where the model is called by itself, and warns in `fit`.

    Args:
        device_name: `"gpu:1"`, `"/gpu:1"`, `"/device:GPU:1"`, `"cpu:0"`, a JAX device;
            None ends the scopes around.

    Raises:
        DeviceError: where there is no such device, with a list of those that are.

    >>> import carnyx as keras
    >>> x = keras.Input((4,))
    >>> with keras.device("cpu:0"):
    ...     y = keras.layers.Dense(2)(x)
    >>> keras.Model(x, y).predict(keras.ops.ones((1, 4)), verbose=0).shape
    (1, 2)
    """
    return _Scope(device_name)


class _Scope(contextlib.ContextDecorator):
    """What `device` gives; it may be entered again, also within itself."""

    def __init__(self, name: Any) -> None:
        self._name = name
        self._open = threading.local()  # what to close, of each thread

    def __enter__(self) -> Any:
        found = None if self._name is None else find_device(self._name)
        if found is not None:
            expect_placements()
        state = current().state
        if found is not None and not (state and state.shapes_only) and in_program():
            warnings.warn(
                f"device({self._name!r}) is entered inside a program, where it places "
                "nothing. Scopes place the layers of functional and sequential models, "
                "when these are built.",
                stacklevel=2,
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(scoped(device=found))
            stack.enter_context(jax.default_device(found))
            self._stacks().append(stack.pop_all())
        return found

    def __exit__(self, *error: Any) -> None:
        self._stacks().pop().close()

    def _stacks(self) -> list[contextlib.ExitStack]:
        return self._open.__dict__.setdefault("stacks", [])


_expected = [False]


def expect_placements() -> None:
    """From now on values may be elsewhere than on the default device."""
    _expected[0] = True


def placements_expected() -> bool:
    """Whether they may. Until then, and in most processes, it is for ever, a step asks
    none of its variables where it lies."""
    return _expected[0]


def devices_of(kind: str | None = None) -> list[Any]:
    """All devices of a kind (`"cpu"`, `"gpu"`, `"tpu"`), of the default one for None.

    Raises:
        DeviceError: where there are none.
    """
    if kind is None:
        return list(jax.devices())
    if not isinstance(kind, str):
        raise DeviceError(
            f'Devices were asked for by {kind!r}; expected "cpu", "gpu" or "tpu", or '
            "None for those that JAX uses."
        )
    return list(jax.devices(find_device(kind).platform))


class _Reading:
    """Devices named in a file, while a model is made from it."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.missing: dict[str, None] = {}


_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextlib.contextmanager
def saved_devices(strict: bool = False, tell: bool = True) -> Iterator[None]:
    """Around the making of a model from data; warns once of devices not there.

    Args:
        strict: a device that is not there is a DeviceError.
        tell: False does not warn, as of a model that is here already.
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
    if reading.missing and tell:
        names = ", ".join(reading.missing)
        there = ", ".join(map(device_name, _all_devices()))
        warnings.warn(
            f"The placement of layers on {names} is ignored: this machine has {there}.",
            stacklevel=4,
        )


def saved_device(name: str) -> Any:
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
