"""A model cut into stages on four devices: distribution.Pipeline.

Layers on GPUs where there are some, else on four simulated CPU devices. The task: which
of eight signs is the most frequent one in a sequence.
"""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")

import numpy as np

import carnyx as keras
from carnyx import layers
from carnyx.distribution import Pipeline, list_devices


def build(length, signs, width=32, blocks=4):
    x = inputs = keras.Input((length,), dtype="int32")
    x = layers.Embedding(signs, width)(x)
    for _ in range(blocks):
        attended = layers.MultiHeadAttention(4, width // 4)(x, x)
        x = layers.LayerNormalization()(x + attended)
        hidden = layers.Dense(2 * width, activation="gelu")(x)
        x = layers.LayerNormalization()(x + layers.Dense(width)(hidden))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(signs)(x))


def sequences(n, length, signs, seed=0):
    random = np.random.default_rng(seed)
    x = random.integers(0, signs, (n, length))
    y = random.integers(0, signs, n)
    x[random.random((n, length)) < 0.3] = -1  # more of the sign that is to be found
    x = np.where(x < 0, y[:, None], x)
    return x.astype("int32"), y


def main(epochs=4, n=2048, length=12, signs=8, blocks=4):
    keras.utils.set_random_seed(0)
    model = build(length, signs, blocks=blocks)
    stages = min(4, len(list_devices()))
    pipeline = Pipeline(model, stages=stages, microbatches=8)
    pipeline.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    pipeline.fit(*sequences(n, length, signs), batch_size=64, epochs=epochs, verbose=2)
    print(pipeline.report())
    x, y = sequences(512, length, signs, seed=1)
    guessed = model.predict(x, verbose=0).argmax(axis=-1)  # the weights are its own
    accuracy = float(np.mean(guessed == y))
    print(f"accuracy of the model alone, on new sequences: {accuracy:.2f}")
    return accuracy


if __name__ == "__main__":
    main()
