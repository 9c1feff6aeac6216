"""How steps run: fused or alone, compiled once, interruptible, never losing weights."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras


def _data(n: int, features: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, features)).astype("float32"), rng.integers(0, 4, n)


def _model(seed: int = 3, dropout: float = 0.0) -> Any:
    layers = [
        keras.Input((12,)),
        keras.layers.Dense(8, "relu", kernel_initializer=_uniform(seed)),
        keras.layers.Dropout(dropout, seed=5),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(4, kernel_initializer=_uniform(seed + 1)),
    ]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def _uniform(seed: int) -> Any:
    return keras.initializers.GlorotUniform(seed=seed)


class _EveryBatch(keras.callbacks.Callback):
    """A user's callback, which wants every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps.append(batch)
        self.losses.append(float(logs["loss"]))


def test_small_steps_are_fused_and_give_the_same_numbers() -> None:
    x, y = _data(320)
    fused, alone, plain = _model(dropout=0.3), _model(dropout=0.3), _model(dropout=0.3)
    every = _EveryBatch()
    a = fused.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    b = alone.fit(
        x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=[every]
    )
    assert fused.train_program().compiled_sizes()["loop"], (
        "the step is small: it should be fused"
    )
    assert every.steps == [*range(40), *range(40)]
    for mine, other in zip(fused.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)  # to the bit, however it is cut
    assert a.history == b.history
    plain.train_program = lambda: _Unfused(type(plain).train_program(plain))
    c = plain.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(a.history["loss"], c.history["loss"], rtol=1e-6)
    for mine, other in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


class _Unfused:
    """A program that says that its steps must run alone."""

    def __init__(self, program: Any) -> None:
        self.program = program
        self.compiled, self.placement = True, None

    def steps_in_chunk(self, batch: Any) -> int:
        return 1

    def start(self, batch: Any) -> Any:
        return self.program.start(batch)


def test_a_convolution_is_not_fused_on_a_cpu() -> None:
    if jax.default_backend() != "cpu":
        pytest.skip("the rule is for CPUs")
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Conv2D(1, 3), keras.layers.Flatten()]
    )
    model.compile("sgd", "mse")
    model.fit(np.ones((64, 6, 6, 1)), np.ones((64, 16)), batch_size=4, verbose=0)
    assert not model.train_program().compiled_sizes()["loop"]


def test_steps_per_execution_with_a_source_of_batches() -> None:
    x, y = _data(84)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    histories = []
    for steps in (1, 4):
        model = _model(dropout=0.3)
        model.compile("adam", loss, steps_per_execution=steps)
        batches = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 84, 8)]
        histories.append(model.fit(iter(batches), verbose=0).history["loss"])
        assert bool(model.train_program().compiled_sizes()["loop"]) == (steps == 4)
    np.testing.assert_allclose(*histories, rtol=1e-5)


def test_sizes_of_data_do_not_compile_again_and_again() -> None:
    model = _model()
    for n in (64, 96, 200, 64, 128, 328):  # multiples of the batch: one program
        model.fit(*_data(n), batch_size=8, verbose=0)
    program = model.train_program()
    fused = program.compilations()
    for n in (67, 99, 203, 67, 99):  # the same remainder: one more
        model.fit(*_data(n), batch_size=8, verbose=0)
    assert program is model.train_program()
    assert program.compilations() == fused + 1


def test_predict_in_a_loop_compiles_once_and_leaks_nothing() -> None:
    model = _model()
    x, _ = _data(1)
    first = model.predict(x, verbose=0)
    gc.collect()
    live = len(jax.live_arrays())
    for _ in range(50):
        np.testing.assert_array_equal(model.predict(x, verbose=0), first)
    gc.collect()
    assert model.predict_program().compilations() == 1
    assert len(jax.live_arrays()) <= live + 2


def test_variables_show_the_newest_state_during_fit() -> None:
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(float(self.model.optimizer.iterations.value))

    model = _model()
    model.fit(*_data(32), batch_size=8, verbose=0, callbacks=[Look()])
    assert seen == [1.0, 2.0, 3.0, 4.0]


def test_an_array_that_a_user_holds_survives_training() -> None:
    model = _model()
    held = model.layers[0].kernel.value
    copy = np.array(held)
    model.fit(*_data(32), batch_size=8, verbose=0)
    np.testing.assert_array_equal(held, copy)
    held = model.layers[0].kernel.value
    copy = np.array(held)
    model.train_on_batch(*_data(8))
    np.testing.assert_array_equal(held, copy)


def test_two_models_that_share_a_layer_see_each_others_training() -> None:
    shared = keras.layers.Dense(4)
    one = keras.Sequential([keras.Input((12,)), shared])
    two = keras.Sequential([keras.Input((12,)), shared, keras.layers.Dense(4)])
    for model in (one, two):
        model.compile("sgd", "mse")
    x = _data(16)[0]
    y = np.zeros((16, 4), "float32")
    for model in (one, two, one, two):
        before = shared.get_weights()[0]
        model.fit(x, y, verbose=0)
        assert not np.array_equal(before, shared.get_weights()[0])
    np.testing.assert_array_equal(one.get_weights()[0], two.get_weights()[0])


def test_ctrl_c_leaves_the_weights_of_the_last_step() -> None:
    model = _model()

    class Press(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    with pytest.raises(KeyboardInterrupt):
        model.fit(*_data(80), batch_size=8, verbose=0, callbacks=[Press()])
    assert int(model.optimizer.iterations.numpy()) == 4
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.fit(*_data(80), batch_size=8, verbose=0)  # and it goes on
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_importing_starts_no_device_and_no_heavy_library() -> None:
    code = (
        "import sys, carnyx, carnyx.layers; from jax._src import xla_bridge as b; "
        "assert not b.backends_are_initialized(), 'a device was started'; "
        "heavy = {'h5py', 'safetensors', 'rich', 'matplotlib', 'PIL', 'optax', 'keras',"
        " 'tensorflow', 'torch', 'pandas'} & set(sys.modules); assert not heavy, heavy"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert run.returncode == 0, run.stderr
