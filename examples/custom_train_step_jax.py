"""A training step as a pure JAX function: `train_step(self, state, data)`.

The state goes in and comes out, as in Keras's guide for JAX, so every transformation
of JAX applies: here `vmap` gives a gradient for each sample, which is clipped before
the mean is taken (the heart of differentially private training).
"""

import jax
import jax.numpy as jnp

import carnyx as keras
from carnyx import layers


class Clipped(keras.Model):
    """A classifier that no single sample can pull far."""

    def __init__(self, norm=1.0):
        super().__init__()
        self.norm = norm
        self.hidden = layers.Dense(64, activation="relu")
        self.logits = layers.Dense(10)
        self.mean_loss = keras.metrics.Mean(name="loss")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    def call(self, x):
        return self.logits(self.hidden(x))

    def train_step(self, state, data):
        trainable, buffers, slots, metrics = state
        x, y = data

        def objective(trainable, x, y):
            logits, _ = self.stateless_call(trainable, buffers, x[None])
            return self.compute_loss(x[None], y[None], logits), logits[0]

        def one(x, y):
            """The loss, outputs and clipped gradient of one sample."""
            gradient = jax.value_and_grad(objective, has_aux=True)
            (loss, logits), gradients = gradient(trainable, x, y)
            size = jnp.sqrt(sum(jnp.sum(g**2) for g in gradients))
            scale = jnp.minimum(1.0, self.norm / (size + 1e-6))
            return loss, logits, [g * scale for g in gradients]

        losses, logits, gradients = jax.vmap(one)(x, y)
        mean = [jnp.mean(g, axis=0) for g in gradients]
        trainable, slots = self.optimizer.stateless_apply(slots, mean, trainable)
        logs, metrics = self.measure(metrics, jnp.mean(losses), y, logits)
        return logs, (trainable, buffers, slots, metrics)

    def measure(self, values, loss, y, logits):
        """Update each metric with its own part of the metrics' values."""
        logs, new = {}, []
        for metric in self.metrics:
            count = len(metric.variables)
            mine, values = values[:count], values[count:]
            seen = (loss,) if metric.name == "loss" else (y, logits)
            mine = metric.stateless_update_state(mine, *seen)
            logs[metric.name] = metric.stateless_result(mine)
            new += mine
        return logs, new

    @property
    def metrics(self):
        return [self.mean_loss, self.accuracy]


def load():
    """Pixels in 0 … 1, an image a row."""
    sets = keras.datasets.digits.load_data()
    return [(x.reshape(len(x), 64).astype("float32") / 16, y) for x, y in sets]


def main(epochs=10):
    keras.utils.set_random_seed(0)
    train, test = load()
    model = Clipped()
    model.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(*train, epochs=epochs, verbose=2)
    accuracy = float((model.predict(test[0], verbose=0).argmax(-1) == test[1]).mean())
    print(f"Accuracy on {len(test[1])} unseen images: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
