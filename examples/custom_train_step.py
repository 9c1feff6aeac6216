"""A training step of one's own, written with layers: `train_step(self, data)`.

The step of this class is what `fit` does anyway, line by line, with a penalty on the
network's sensitivity to its input added. It is traced and compiled like any other.
"""

import jax

import carnyx as keras
from carnyx import layers, ops


class Smooth(keras.Model):
    """A classifier whose loss should not change much where the image hardly does."""

    def __init__(self, strength=0.1):
        super().__init__()
        self.strength = strength
        self.hidden = layers.Dense(64, activation="relu")
        self.logits = layers.Dense(10)

    def call(self, x):
        return self.logits(self.hidden(x))

    def train_step(self, data):
        x, y = data

        def objective():
            y_pred = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
            slopes = jax.grad(lambda x: ops.sum(ops.logsumexp(self(x), axis=-1)))(x)
            penalty = ops.mean(ops.sum(slopes**2, axis=-1))
            return loss + self.strength * penalty, (loss, penalty, y_pred)

        (_, (loss, penalty, y_pred)), gradients = self.value_and_grad(
            objective, has_aux=True
        )
        self.optimizer.apply(gradients, self.trainable_variables)
        logs = self.compute_metrics(x, y, y_pred)
        return logs | {"loss": loss, "penalty": penalty}


def load():
    """Pixels in 0 … 1, an image a row."""
    sets = keras.datasets.digits.load_data()
    return [(x.reshape(len(x), 64).astype("float32") / 16, y) for x, y in sets]


def main(epochs=20):
    keras.utils.set_random_seed(0)
    train, test = load()
    model = Smooth()
    model.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(*train, epochs=epochs, validation_data=test, verbose=2)
    results = model.evaluate(*test, verbose=0, return_dict=True)
    print(f"Accuracy on {len(test[1])} unseen images: {results['accuracy']:.4f}")
    return results["accuracy"]


if __name__ == "__main__":
    main()
