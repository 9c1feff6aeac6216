"""The examples run: the demo as it is, the others with small settings."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import carnyx

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Loads an example; what it writes goes to a temporary folder."""
    monkeypatch.chdir(tmp_path)

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_the_demo_reaches_98_percent_and_leaves_its_files(example, keras_oracle):
    digits = example("digits")
    assert digits.main() >= 0.98
    assert Path("digits.png").read_bytes().startswith(b"\x89PNG")
    header = Path("history.csv").read_text().splitlines()[0]
    assert header == "epoch,accuracy,loss,val_accuracy,val_loss"
    _, (x, _) = digits.load()
    ours = carnyx.models.load_model("digits.keras").predict(x, verbose=0)
    theirs = keras_oracle.models.load_model("digits.keras").predict(x, verbose=0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_mnist_convnet_on_a_few_images(example, monkeypatch, shared):
    with np.load(shared / "data" / "mnist_10k.npz") as file:
        x, y = file["x"][:200], file["y"][:200]
    monkeypatch.setattr(
        carnyx.datasets.mnist, "load_data", lambda: ((x[:100], y[:100]), (x, y))
    )
    assert 0 <= example("mnist_convnet").main(epochs=1, batch_size=45) <= 1
    assert Path("mnist.keras").is_file()


def test_custom_layer_learns_the_rings(example):
    assert example("custom_layer").main(epochs=15, points=400) > 0.9


def test_functional_two_inputs_learns_which_is_larger(example):
    results = example("functional_two_inputs").main(epochs=5, n=1000)
    assert results["larger_accuracy"] > 0.9


def test_jax_loop_fits_the_sine(example):
    assert example("jax_loop").main(steps=500) < 0.2


def test_custom_train_steps_learn_the_digits(example):
    assert example("custom_train_step").main(epochs=5) > 0.8
    assert example("custom_train_step_jax").main(epochs=3) > 0.8


def test_the_gan_draws_where_digits_are(example):
    real, drawn = example("gan").main(epochs=40)
    assert Path("gan.png").is_file() and drawn.shape == (18, 64)
    assert np.corrcoef(real.mean(axis=0), drawn.mean(axis=0))[0, 1] > 0.8
    assert drawn.std(axis=0).mean() > 0.5 * real.std(axis=0).mean()  # not all alike


def test_the_vae_restores_and_keeps_to_the_prior(example):
    history, results = example("vae").main(epochs=15)
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert 0.5 < results["divergence"] < 10 and results["loss"] < 32
    assert Path("vae.png").is_file()


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda f: f.name)
def test_an_example_is_short_and_says_what_it_shows(file):
    lines = file.read_text().splitlines()
    assert len(lines) < 100 and lines[0].startswith('"""')


def test_device_parallel_reads_tweets_on_three_devices():
    code = "import device_parallel; device_parallel.main(epochs=8, n=1000, length=10)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=EXAMPLES,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "3"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "cpu:1–2" in run.stdout
    assert float(run.stdout.split()[-1]) > 0.9
