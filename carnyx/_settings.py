"""Where a setting comes from: code over environment over file over default.

Environment: `CARNYX_FLAGS=device=gpu,floatx=float32`; the `THEANO_FLAGS` spelling
(`device=cuda0,floatX=float32`) is understood. Files: `~/.carnyx.toml`, Keras's
`keras.json` in the cache folder, `~/.theanorc`; the first that has the setting wins.
"""

from __future__ import annotations

import configparser
import functools
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carnyx.errors import ArgumentError, nearest

FLOATS = ("bfloat16", "float16", "float32", "float64")
DATA_FORMATS = ("channels_last", "channels_first")
_IMAGE_ORDERS = {"tf": "channels_last", "th": "channels_first"}


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if str(value) not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(value)

    return check


def _positive(value: Any) -> float:
    number = float(value)
    if not number > 0:
        raise ValueError("a number above 0")
    return number


def _flag(value: Any) -> bool:
    words = {"1": True, "true": True, "on": True, "0": False, "false": False}
    words["off"] = False
    if str(value).lower() not in words:
        raise ValueError("true or false")
    return words[str(value).lower()]


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if int(value) < 1:
        raise ValueError("an integer above 0, or None")
    return int(value)


# name -> (default, what makes a valid value of what was given)
SETTINGS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "floatx": ("float32", _one_of(*FLOATS)),
    "epsilon": (1e-7, _positive),
    "image_data_format": ("channels_last", _one_of(*DATA_FORMATS)),
    "dtype_policy": (None, lambda v: None if v is None else str(v)),
    "device": (None, lambda v: None if v is None else str(v).lower()),
    "traceback_filtering": (True, _flag),
    "interactive_logging": (True, _flag),
    "checks": (True, _flag),
    "flash_attention": (None, lambda v: None if v is None else _flag(v)),
    "max_epochs": (None, _count),
    "max_steps_per_epoch": (None, _count),
}

_set_in_code: dict[str, Any] = {}


def get(name: str) -> Any:
    """The value in force."""
    if name in _set_in_code:
        return _set_in_code[name]
    return _outside().get(name, SETTINGS[name][0])


def put(name: str, value: object) -> None:
    """Set a value from code; it wins over environment and files."""
    _set_in_code[name] = _checked(name, value, "code")


def home() -> Path:
    """The cache folder: `CARNYX_HOME`, else Keras's own, `~/.keras`."""
    for variable in ("CARNYX_HOME", "KERAS_HOME"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    return Path.home() / ".keras"


def _checked(name: str, value: Any, source: str) -> Any:
    if name not in SETTINGS:
        raise ArgumentError(
            f"Unknown setting {name!r} in {source}.{nearest(name, SETTINGS)} "
            f"The settings are {', '.join(SETTINGS)}."
        )
    try:
        return SETTINGS[name][1](value)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            f"Setting {name!r} got {value!r} from {source}; expected {error}."
        ) from None


@functools.cache
def _outside() -> dict[str, Any]:
    """Settings of files, then of the environment over them; read once."""
    found: dict[str, Any] = {}
    for read in (_theanorc, _keras_json, _carnyx_toml, _theano_flags, _carnyx_flags):
        found.update(read())
    return found


def forget_outside() -> None:
    """Read environment and files anew at the next question (for tests)."""
    _outside.cache_clear()
    _set_in_code.clear()


def _carnyx_flags() -> dict[str, Any]:
    flags = _split_flags(os.environ.get("CARNYX_FLAGS", ""))
    return {k: _checked(k, v, "CARNYX_FLAGS") for k, v in flags.items()}


def _theano_flags() -> dict[str, Any]:
    return _from_theano(_split_flags(os.environ.get("THEANO_FLAGS", "")))


def _split_flags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _from_theano(flags: dict[str, str]) -> dict[str, Any]:
    """Theano's other flags have no meaning here and are left alone."""
    found = {}
    if "floatX" in flags:
        found["floatx"] = _checked("floatx", flags["floatX"], "THEANO_FLAGS")
    if "device" in flags:
        kind = flags["device"].lower().replace("cuda", "gpu")
        number = kind.removeprefix("gpu")
        found["device"] = f"gpu:{number}" if number.isdigit() else kind
    return found


def _theanorc() -> dict[str, Any]:
    path = Path(os.environ.get("THEANORC", "~/.theanorc")).expanduser()
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text())
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}  # another program's file: not ours to complain about
    return _from_theano(dict(parser["global"])) if "global" in parser else {}


def _keras_json() -> dict[str, Any]:
    path = home() / "keras.json"
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    found = {
        key: _checked(key, content[key], str(path))
        for key in ("floatx", "epsilon", "image_data_format")
        if key in content
    }
    order = _IMAGE_ORDERS.get(content.get("image_dim_ordering", ""))
    return {"image_data_format": order, **found} if order else found


def _carnyx_toml() -> dict[str, Any]:
    path = Path.home() / ".carnyx.toml"
    try:
        content = tomllib.loads(path.read_text())
    except OSError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"{path} is not valid TOML: {error}.") from None
    return {k: _checked(k, v, str(path)) for k, v in content.items()}
