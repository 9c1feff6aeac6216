"""A variational autoencoder: digits as points of a plane, and back.

The loss is computed in `train_step` from what two networks give: how well an image is
restored, and how far its point's distribution is from a normal one. Left in the
current folder: `vae.png`, the digits at a grid of points.
"""

import numpy as np

import carnyx as keras
from carnyx import layers, ops


class Vae(keras.Model):
    """References: Kingma and Welling 2014, arXiv:1312.6114."""

    def __init__(self, size=2):
        super().__init__()
        inputs = keras.Input((64,))
        hidden = layers.Dense(128, activation="relu")(inputs)
        mean, log_variance = layers.Dense(size)(hidden), layers.Dense(size)(hidden)
        self.encoder = keras.Model(inputs, [mean, log_variance])
        self.decoder = keras.Sequential(
            [keras.Input((size,)), layers.Dense(128, "relu"), layers.Dense(64)]
        )
        names = ("loss", "restoring", "divergence")
        self.means = [keras.metrics.Mean(name=name) for name in names]

    def call(self, x):
        """Images, restored."""
        return ops.sigmoid(self.decoder(self.encoder(x)[0]))

    def objective(self, x):
        mean, log_variance = self.encoder(x)
        noise = keras.random.normal(ops.shape(mean))
        logits = self.decoder(mean + ops.exp(0.5 * log_variance) * noise)
        crossentropy = ops.softplus(logits) - x * logits
        restoring = ops.mean(ops.sum(crossentropy, axis=-1))
        spread = mean**2 + ops.exp(log_variance) - log_variance - 1
        divergence = ops.mean(0.5 * ops.sum(spread, axis=-1))
        return restoring + divergence, (restoring, divergence)

    def train_step(self, data):
        (x,) = data
        (loss, parts), gradients = self.value_and_grad(
            lambda: self.objective(x), has_aux=True
        )
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.measured(loss, *parts)

    def test_step(self, data):
        loss, parts = self.objective(data[0])
        return self.measured(loss, *parts)

    def measured(self, *values):
        for metric, value in zip(self.means, values):
            metric.update_state(value)
        return {metric.name: metric.result() for metric in self.means}

    @property
    def metrics(self):
        return self.means


def save_picture(model, path, side=12):
    from matplotlib.figure import Figure

    line = np.linspace(-2, 2, side)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    images = ops.sigmoid(model.decoder(points.astype("float32")))
    rows = np.asarray(images).reshape(side, side, 8, 8).transpose(0, 2, 1, 3)
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(rows.reshape(side * 8, side * 8), cmap="gray_r")
    axes.axis("off")
    figure.savefig(path)


def main(epochs=60):
    keras.utils.set_random_seed(0)
    sets = keras.datasets.digits.load_data()
    train, test = (x.reshape(len(x), 64).astype("float32") / 16 for x, _ in sets)
    model = Vae()
    model.compile(optimizer=keras.optimizers.Adam(0.003))
    history = model.fit(train, batch_size=64, epochs=epochs, verbose=0).history
    results = model.evaluate(test, verbose=0, return_dict=True)
    save_picture(model, "vae.png")
    print({name: round(value, 2) for name, value in results.items()})
    return history, results


if __name__ == "__main__":
    main()
