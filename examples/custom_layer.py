"""A layer of one's own: radial basis functions learn two rings of points.

Written as for Keras 3: weights in `build`, the formula in `call`, and no
`get_config`: Carnyx remembers the arguments. (Keras itself would ask for one.)
"""

import numpy as np

import carnyx as keras
from carnyx import layers, ops


@keras.saving.register_keras_serializable("examples")
class RadialBasis(layers.Layer):
    """exp(-gamma * |x - centre|²), one feature a centre."""

    def __init__(self, units, gamma=1.0, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.gamma = gamma

    def build(self, input_shape):
        self.centres = self.add_weight(
            shape=(self.units, input_shape[-1]),
            initializer="random_normal",
            name="centres",
        )

    def call(self, x):
        distance = ops.sum((x[:, None, :] - self.centres) ** 2, axis=-1)
        return ops.exp(-self.gamma * distance)


def rings(n, seed=0):
    """Points on circles of radius 1 and 2, with noise, and which circle."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, n)
    angle, radius = (
        random.uniform(0, 2 * np.pi, n),
        1 + label + random.normal(0, 0.1, n),
    )
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return points.astype("float32"), label


def main(epochs=30, points=1000):
    keras.utils.set_random_seed(0)
    x, y = rings(points)
    model = keras.Sequential([RadialBasis(16), layers.Dense(1, activation="sigmoid")])
    model.compile(
        optimizer=keras.optimizers.Adam(0.02),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, epochs=epochs, verbose=0)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    loss, accuracy = model.evaluate(*rings(points, seed=1), verbose=0)
    print(f"Accuracy on new points: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
