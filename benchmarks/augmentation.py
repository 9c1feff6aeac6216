"""`python -m benchmarks.augmentation`: images a second through a usual chain.

Flip, rotation, zoom and contrast of batches of 32 images of 224 × 224 × 3, as floats,
on the host. Each library runs in a process of its own, in turns; the best of the rounds
counts, since other work on the machine only slows. `Keras on JAX` is called as users
call it, and once more as one program of XLA; `Keras on TensorFlow` is a `tf.function`,
as in `tf.data`. Libraries that are not installed are left out.

    python -m benchmarks.augmentation --python .venv-interop/bin/python
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZE = (32, 224, 224, 3)
STEPS, ROUNDS = 5, 3
LIBRARIES = ("carnyx", "keras-jax", "keras-jax-compiled", "keras-tensorflow",
             "torchvision")  # fmt: skip


def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, SIZE).astype("float32")


def chain(layers: Any) -> list[Any]:
    return [
        layers.RandomFlip("horizontal", seed=1),
        layers.RandomRotation(0.1, seed=2),
        layers.RandomZoom(0.2, seed=3),
        layers.RandomContrast((0.2, 0.2), seed=4),
    ]


def of_carnyx() -> Callable[[], Any]:
    import jax

    import carnyx

    pipeline, x = carnyx.layers.Pipeline(chain(carnyx.layers)), images()
    return lambda: jax.block_until_ready(pipeline(x, training=True))


def of_keras(compiled: bool, backend: str) -> Callable[[], Any]:
    os.environ["KERAS_BACKEND"] = backend
    import keras

    layers, x = chain(keras.layers), images()

    def augmented(x: Any) -> Any:
        for layer in layers:
            x = layer(x, training=True)
        return x

    if backend == "tensorflow":
        import tensorflow as tf

        run = tf.function(augmented)
        return lambda: run(tf.constant(x)).numpy()
    import jax

    if not compiled:
        return lambda: jax.block_until_ready(augmented(x))
    model = keras.Sequential(layers)
    model.build(SIZE)
    state = [v.value for v in model.non_trainable_variables]
    program = jax.jit(lambda s, x: model.stateless_call([], s, x, training=True))

    def step() -> None:
        nonlocal state
        out, state = program(state, x)
        jax.block_until_ready(out)

    return step


def of_torchvision() -> Callable[[], Any]:
    import torch
    from torchvision.transforms import v2

    way = v2.InterpolationMode.BILINEAR
    one = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(36, interpolation=way),
            v2.RandomAffine(0, scale=(0.8, 1.2), interpolation=way),
            v2.ColorJitter(contrast=0.2),
        ]
    )
    x = torch.from_numpy(images().transpose(0, 3, 1, 2)) / 255
    return lambda: torch.stack([one(image) for image in x])  # each its own numbers


MAKE: dict[str, Callable[[], Callable[[], Any]]] = {
    "carnyx": of_carnyx,
    "keras-jax": lambda: of_keras(False, "jax"),
    "keras-jax-compiled": lambda: of_keras(True, "jax"),
    "keras-tensorflow": lambda: of_keras(True, "tensorflow"),
    "torchvision": of_torchvision,
}


def seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """Of one step: on the clock, and of all processors together."""

    def used() -> float:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return own.ru_utime + own.ru_stime

    run()
    found = []
    for _ in range(STEPS):
        begun, before = time.perf_counter(), used()
        run()
        found.append((time.perf_counter() - begun, used() - before))
    clock, processors = zip(*found, strict=True)
    return min(clock), min(processors)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", choices=LIBRARIES)
    parser.add_argument("--python", help="for TensorFlow and torchvision")
    given = parser.parse_args()
    if given.worker:
        print(*seconds(MAKE[given.worker]()))
        return
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name in LIBRARIES:
            other = name in ("keras-tensorflow", "torchvision")
            python = (given.python if other else None) or sys.executable
            call = [python, "-m", "benchmarks.augmentation", "--worker", name]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                clock, processors = map(float, done.stdout.split()[-2:])
                old = best.get(name, (clock, processors))
                best[name] = min(old[0], clock), min(old[1], processors)
    ours = best["carnyx"]
    for name, (clock, processors) in best.items():
        print(
            f"{name:20s} {SIZE[0] / clock:8.0f} images/s, {clock / ours[0]:5.1f} × our "
            f"time; {1e3 * processors:6.0f} ms of processors, "
            f"{processors / ours[1]:5.1f} ×"
        )


if __name__ == "__main__":
    main()
