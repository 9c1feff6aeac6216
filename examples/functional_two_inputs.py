"""Two inputs, two outputs, one shared layer: the functional API.

Given two sequences of numbers, say which has the larger sum, and by how much.
"""

import numpy as np

import carnyx as keras
from carnyx import layers


def build(length):
    first = keras.Input((length,), name="first")
    second = keras.Input((length,), name="second")
    encoder = layers.Dense(32, activation="relu", name="encoder")  # shared weights
    joined = layers.concatenate([encoder(first), encoder(second)])
    hidden = layers.Dense(32, activation="relu")(joined)
    larger = layers.Dense(1, activation="sigmoid", name="larger")(hidden)
    margin = layers.Dense(1, name="margin")(hidden)
    return keras.Model([first, second], {"larger": larger, "margin": margin})


def pairs(n, length, seed=0):
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(2, n, length)).astype("float32")
    margin = (first - second).sum(axis=-1, keepdims=True)
    return [first, second], {"larger": margin > 0, "margin": margin}


def main(epochs=20, n=2000, length=8):
    keras.utils.set_random_seed(0)
    model = build(length)
    model.summary()
    model.compile(
        optimizer="adam",
        loss={"larger": "binary_crossentropy", "margin": "mean_squared_error"},
        loss_weights={"larger": 1.0, "margin": 0.1},
        metrics={"larger": ["accuracy"], "margin": ["mean_absolute_error"]},
    )
    model.fit(*pairs(n, length), epochs=epochs, verbose=2)
    results = model.evaluate(*pairs(n, length, seed=1), verbose=0, return_dict=True)
    print({name: round(float(value), 3) for name, value in results.items()})
    return results


if __name__ == "__main__":
    main()
