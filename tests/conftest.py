"""What every test shares: Keras on JAX as the oracle, a clean environment."""

import os
import signal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

os.environ["KERAS_BACKEND"] = "jax"
os.environ["MPLBACKEND"] = "agg"
os.environ["KERAS_HOME"] = str(ROOT / ".pytest_cache" / "keras")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
for setting in ("CARNYX_HOME", "CARNYX_FLAGS", "THEANO_FLAGS"):
    os.environ.pop(setting, None)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile(
    "carnyx", deadline=None, max_examples=30
)  # compiling takes time
settings.load_profile("carnyx")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None:
        return
    import jax

    if jax.default_backend() != "gpu":
        pytest.skip("needs a GPU (run with JAX_PLATFORMS=cuda,cpu where there is one)")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded files that lies beside the checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: no recorded files to compare with")
    return folder


@pytest.fixture(scope="session")
def keras_oracle():
    """Keras 3.15 on the JAX backend, what parity is measured against."""
    keras = pytest.importorskip("keras")
    assert keras.backend.backend() == "jax"
    return keras
