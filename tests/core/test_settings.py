"""Settings: code over environment over file over default."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import carnyx as keras
from carnyx import _settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of its own; settings are read anew before and after."""
    saved = dict(_settings._set_in_code)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    for name in ("CARNYX_FLAGS", "THEANO_FLAGS", "THEANORC", "CARNYX_HOME"):
        monkeypatch.delenv(name, raising=False)
    _settings.forget_outside()
    yield tmp_path
    monkeypatch.undo()
    _settings.forget_outside()
    _settings._set_in_code.update(saved)


def test_defaults(home: Path) -> None:
    assert keras.config.floatx() == "float32"
    assert keras.config.epsilon() == 1e-7
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.dtype_policy().name == "float32"
    assert keras.config.device() is None
    assert keras.config.backend() == keras.backend.backend() == "jax"


def test_code_wins_over_environment_over_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".carnyx.toml").write_text('floatx = "float16"\nepsilon = 1e-3\n')
    assert keras.config.floatx() == "float16" and keras.config.epsilon() == 1e-3
    monkeypatch.setenv("CARNYX_FLAGS", "floatx=bfloat16, device=cpu")
    _settings.forget_outside()
    assert keras.config.floatx() == "bfloat16" and keras.config.device() == "cpu"
    assert keras.config.epsilon() == 1e-3
    keras.config.set_floatx("float32")
    assert keras.config.floatx() == "float32"


def test_the_files_of_keras_and_theano_are_read(home: Path) -> None:
    (home / ".keras").mkdir()
    (home / ".keras" / "keras.json").write_text(
        json.dumps({"floatx": "float16", "image_dim_ordering": "th", "backend": "x"})
    )
    (home / ".theanorc").write_text("[global]\nfloatX = float64\ndevice = gpu1\n")
    assert keras.config.floatx() == "float16"  # Keras's file wins over Theano's
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.device() == "gpu:1"


def test_theano_flags(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEANO_FLAGS", "device=cuda0,floatX=float16,openmp=True")
    _settings.forget_outside()
    assert keras.config.floatx() == "float16" and keras.config.device() == "gpu:0"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("floatx=float31", "Setting 'floatx' got 'float31' from CARNYX_FLAGS"),
        ("flaotx=float32", "Unknown setting 'flaotx'.*Did you mean 'floatx'"),
    ],
)
def test_mistakes_are_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, flags: str, message: str
) -> None:
    monkeypatch.setenv("CARNYX_FLAGS", flags)
    _settings.forget_outside()
    with pytest.raises(ValueError, match=message):
        keras.config.epsilon()


def test_wrong_values_from_code() -> None:
    for call, value in (
        (keras.config.set_floatx, "int32"),
        (keras.config.set_epsilon, -1.0),
        (keras.config.set_image_data_format, "rows"),
        (keras.config.set_backend, "tensorflow"),
        (keras.config.set_dtype_policy, "mixed_int8"),
    ):
        with pytest.raises(ValueError, match="expected|runs on"):
            call(value)
    with pytest.raises(ValueError, match="never runs code"):
        keras.config.enable_unsafe_deserialization()


@pytest.mark.parametrize("use", ["carnyx.Variable(0.0)", "carnyx.ops.zeros(2)"])
def test_a_device_that_is_not_there_is_an_error_that_lists_what_is(use: str) -> None:
    code = f"import carnyx; {use}"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"CARNYX_FLAGS": "device=gpu:7", "JAX_PLATFORMS": "cpu", "PATH": ""},
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 1
    assert "Device 'gpu:7' is not there; this machine has cpu:0" in run.stderr
