"""One model on three devices: which of two tweets is the longer, by a shared LSTM.

Each tweet is read on a device of its own, at the same time; what was read is merged on
a third. The weights of the shared LSTM live once, on the device that is called first.
Where there are no GPUs, three simulated CPU devices stand in.
"""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "3")  # before JAX starts

import numpy as np

import carnyx as keras


def devices():
    """For the two tweets, and for the rest."""
    gpus = [d for d in keras.distribution.list_devices() if d.startswith("gpu")]
    if gpus:
        return gpus[0], gpus[-1], "cpu:0"
    return "cpu:1", "cpu:2", "cpu:0"


def build(length, characters):
    tweet_a = keras.Input((length, characters))
    tweet_b = keras.Input((length, characters))
    shared_lstm = keras.layers.LSTM(32, name="shared_lstm")
    first, second, third = devices()
    with keras.device(first):
        encoded_a = shared_lstm(tweet_a)
    with keras.device(second):
        encoded_b = shared_lstm(tweet_b)
    with keras.device(third):
        merged = keras.layers.concatenate([encoded_a, encoded_b], axis=-1)
    longer = keras.layers.Dense(1, activation="sigmoid")(merged)  # where merged is
    return keras.Model([tweet_a, tweet_b], longer)


def tweets(n, length, characters, seed=0):
    """Pairs of one-hot texts; the label says whether the first is the longer."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, length + 1, (2, n))
    texts = np.eye(characters, dtype="float32")[
        random.integers(0, characters, (2, n, length))
    ]
    texts *= (np.arange(length) < lengths[..., None])[..., None]
    return list(texts), (lengths[0] > lengths[1]).astype("float32")


def main(epochs=15, n=2000, length=20, characters=32):
    keras.utils.set_random_seed(0)
    model = build(length, characters)
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    model.fit(*tweets(n, length, characters), batch_size=100, epochs=epochs, verbose=2)
    print(model.placement())
    loss, accuracy = model.evaluate(*tweets(n, length, characters, seed=1), verbose=0)
    print(f"accuracy on other tweets: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
