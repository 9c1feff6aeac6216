"""The classic convolutional network on MNIST: `python examples/mnist_convnet.py`.

Reads `mnist.npz` from the cache folder or downloads it. Leaves `mnist.keras` and
`history.csv` in the current folder.
"""

import carnyx as keras
from carnyx import layers


def load():
    """Pixels in 0 … 1 with a channel axis: (n, 28, 28, 1)."""
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    scaled = [x[..., None].astype("float32") / 255 for x in (x_train, x_test)]
    return (scaled[0], y_train), (scaled[1], y_test)


def build():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ],
        name="mnist_convnet",
    )


def main(epochs=5, batch_size=128):
    keras.utils.set_random_seed(0)
    train, test = load()
    model = build()
    model.summary()
    model.compile(
        optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(
        *train,
        batch_size=batch_size,
        epochs=epochs,
        validation_split=0.1,
        callbacks=[
            keras.callbacks.EarlyStopping(patience=2),
            keras.callbacks.ModelCheckpoint("mnist.keras", save_best_only=True),
            keras.callbacks.CSVLogger("history.csv"),
        ],
    )
    best = keras.models.load_model("mnist.keras")
    loss, accuracy = best.evaluate(*test, verbose=0)
    print(f"Accuracy of the saved model on {len(test[1])} test images: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
