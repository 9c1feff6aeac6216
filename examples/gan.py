"""Two networks against each other: a generator learns to draw handwritten digits.

Each network has an optimizer of its own; `train_step` updates one, then the other.
Left in the current folder: `gan.png`, with digits that nobody wrote.
"""

import carnyx as keras
from carnyx import layers, ops


class Gan(keras.Model):
    """A critic tells real images from drawn ones; a generator tries to deceive it."""

    def __init__(self, noise=16):
        super().__init__()
        self.noise = noise
        self.generator = keras.Sequential(
            [
                keras.Input((noise,)),
                layers.Dense(128, activation="relu"),
                layers.BatchNormalization(momentum=0.9),
                layers.Dense(128, activation="relu"),
                layers.Dense(64, activation="sigmoid"),
            ]
        )
        self.critic = keras.Sequential(
            [
                keras.Input((64,)),
                layers.Dense(128),
                layers.LeakyReLU(0.2),
                layers.Dropout(0.3),
                layers.Dense(1),
            ]
        )
        self.distance = keras.losses.BinaryCrossentropy(from_logits=True)

    def compile(self, critic_optimizer, generator_optimizer):
        super().compile()
        self.critic_optimizer = critic_optimizer
        self.generator_optimizer = generator_optimizer

    @property
    def metrics(self):
        return []  # the logs are those of the last batch

    def draw(self, count, training=False):
        noise = keras.random.normal((count, self.noise))
        return self.generator(noise, training=training)

    def train_step(self, data):
        (real,) = data
        count = ops.shape(real)[0]
        drawn = self.draw(count, training=True)

        def detected():
            logits = self.critic(ops.concatenate([real, drawn]), training=True)
            labels = ops.concatenate([ops.ones((count, 1)), ops.zeros((count, 1))])
            return self.distance(labels, logits)

        def deceived():
            logits = self.critic(self.draw(count, training=True), training=True)
            return self.distance(ops.ones((count, 1)), logits)

        logs = {}
        for name, loss, network, optimizer in (
            ("critic", detected, self.critic, self.critic_optimizer),
            ("generator", deceived, self.generator, self.generator_optimizer),
        ):
            weights = network.trainable_variables
            logs[name], gradients = self.value_and_grad(loss, weights)
            optimizer.apply(gradients, weights)
        return logs


def save_picture(images, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    for image, axes in zip(images, figure.subplots(3, 6).flat):
        axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axes.axis("off")
    figure.savefig(path)


def main(epochs=100):
    keras.utils.set_random_seed(0)
    (x, _), _ = keras.datasets.digits.load_data()
    x = x.reshape(len(x), 64).astype("float32") / 16
    gan, rates = Gan(), (0.0005, 0.001)
    gan.compile(*(keras.optimizers.Adam(rate, beta_1=0.5) for rate in rates))
    history = gan.fit(x, batch_size=64, epochs=epochs, verbose=0)
    drawn = ops.convert_to_numpy(gan.draw(18))
    save_picture(drawn, "gan.png")
    print({name: round(values[-1], 3) for name, values in history.history.items()})
    return x, drawn


if __name__ == "__main__":
    main()
