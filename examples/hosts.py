"""One script for one process, several, or several hosts.

    python examples/hosts.py
    carnyx launch -n 2 examples/hosts.py --backups backups
    carnyx launch --ray -n 2 --restarts 3 examples/hosts.py --backups backups

Without `initialize()` it is a script for one process; nothing else is different. All
processes read the same data here, and each takes its part of every batch.
"""

import argparse

import jax

import carnyx as keras
from carnyx import distribution, layers


def load():
    """Pixels in 0 … 1 of 8 x 8 digits, for training and for testing."""
    sets = keras.datasets.digits.load_data()
    return [(x.reshape(len(x), 64).astype("float32") / 16, y) for x, y in sets]


def main(epochs=20, backups=None):
    distribution.initialize()  # first of all: it decides which devices there are
    keras.utils.set_random_seed(0)
    train, test = load()
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(*train, batch_size=128, epochs=epochs, resume=backups)
    _, accuracy = model.evaluate(*test, verbose=0)
    if jax.process_index() == 0:
        print(
            f"{jax.process_count()} processes, {jax.device_count()} devices: ", end=""
        )
        print(f"accuracy {accuracy:.3f} on digits never seen.")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--backups", help="a folder; a job started again goes on there")
    main(**vars(parser.parse_args()))
