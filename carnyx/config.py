"""Global settings, each a pair of functions as in `keras.config`.

In code (`config.set_floatx("float32")`), by environment (`CARNYX_FLAGS=floatx=float32,
device=gpu`) or by file (`~/.carnyx.toml`); code wins over environment over file.
"""

from __future__ import annotations

from carnyx import _settings
from carnyx.dtype_policies import dtype_policy as dtype_policy
from carnyx.dtype_policies import set_dtype_policy as set_dtype_policy
from carnyx.dtype_policies import standardize_dtype as standardize_dtype
from carnyx.errors import ArgumentError


def floatx() -> str:
    """The default float dtype, `"float32"` unless set."""
    return _settings.get("floatx")


def set_floatx(value: str) -> None:
    """Set the default float dtype: bfloat16, float16, float32 or float64."""
    _settings.put("floatx", value)


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite."""
    return _settings.get("epsilon")


def set_epsilon(value: float) -> None:
    """Set the fuzz factor.

    >>> set_epsilon(1e-5); epsilon()
    1e-05
    >>> set_epsilon(1e-7)
    """
    _settings.put("epsilon", value)


def image_data_format() -> str:
    """`"channels_last"` (default) or `"channels_first"`."""
    return _settings.get("image_data_format")


def set_image_data_format(data_format: str) -> None:
    """Set where images have their channels."""
    _settings.put("image_data_format", data_format)


def standardize_data_format(data_format: str | None) -> str:
    """The format given, or the global one for None; anything else is an error."""
    if data_format is None:
        return image_data_format()
    if data_format not in _settings.DATA_FORMATS:
        raise ArgumentError(
            f"data_format got {data_format!r}; expected 'channels_last' or "
            "'channels_first'."
        )
    return data_format


def backend() -> str:
    """Always `"jax"`: Carnyx has one engine."""
    return "jax"


def set_backend(backend: str) -> None:
    """Accepts `"jax"`; any other engine is an error."""
    if backend != "jax":
        raise ArgumentError(
            f"set_backend got {backend!r}; Carnyx runs on 'jax' only. Scripts run "
            "unchanged without this line."
        )


def device() -> str | None:
    """The device asked for, or None: a GPU or TPU where there is one."""
    return _settings.get("device")


def set_device(device: str | None) -> None:
    """Choose the default device (`"cpu"`, `"gpu"`, `"gpu:1"`), before first use."""
    _settings.put("device", device)


def enable_traceback_filtering() -> None:
    """Show the user's lines in tracebacks, not the library's (the default)."""
    _settings.put("traceback_filtering", True)


def disable_traceback_filtering() -> None:
    """Show every frame in tracebacks."""
    _settings.put("traceback_filtering", False)


def is_traceback_filtering_enabled() -> bool:
    """Whether tracebacks leave out the library's own frames."""
    return _settings.get("traceback_filtering")


def enable_interactive_logging() -> None:
    """Let `verbose="auto"` draw a progress bar (the default)."""
    _settings.put("interactive_logging", True)


def disable_interactive_logging() -> None:
    """Let `verbose="auto"` write one plain line an epoch."""
    _settings.put("interactive_logging", False)


def is_interactive_logging_enabled() -> bool:
    """Whether `verbose="auto"` draws a progress bar."""
    return _settings.get("interactive_logging")


def enable_flash_attention() -> None:
    """Use the fused attention kernel wherever the device has one."""
    _settings.put("flash_attention", True)


def disable_flash_attention() -> None:
    """Never use the fused attention kernel."""
    _settings.put("flash_attention", False)


def is_flash_attention_enabled() -> bool | None:
    """True or False as set; None: where it pays."""
    return _settings.get("flash_attention")


def checks() -> bool:
    """Whether `fit` and `evaluate` look for mistakes that raise no error."""
    return _settings.get("checks")


def set_checks(value: bool) -> None:
    """Turn those checks off or on; `CARNYX_FLAGS=checks=off` from outside.

    They are of the first batches, against the losses and the model: labels outside of
    the classes, probabilities where logits are expected, indices too large, and others.
    """
    _settings.put("checks", value)


def is_nnx_enabled() -> bool:
    """Always False: Carnyx has one module system."""
    return False


def max_epochs() -> int | None:
    """The most epochs that `fit` runs, for quick trials of long scripts."""
    return _settings.get("max_epochs")


def set_max_epochs(max_epochs: int | None) -> None:
    """Limit the epochs of every `fit`."""
    _settings.put("max_epochs", max_epochs)


def max_steps_per_epoch() -> int | None:
    """The most steps of an epoch, for quick trials of long scripts."""
    return _settings.get("max_steps_per_epoch")


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limit the steps of every epoch."""
    _settings.put("max_steps_per_epoch", max_steps_per_epoch)


def enable_unsafe_deserialization() -> None:
    """Refused: a model file is data, and no switch makes it code."""
    raise ArgumentError(
        "Carnyx never runs code from a model file. To load a model that has a Lambda, "
        "pass its function: load_model(path, custom_objects={'name': function})."
    )
