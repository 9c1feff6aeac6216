"""A convolutional network learns handwritten digits: `python examples/digits.py`.

The data ship inside Carnyx (1,797 images of 8×8 pixels). Left in the current folder:
`digits.keras` (the model; Keras 3 opens it too), `history.csv` (one line an epoch)
and `digits.png` (the curves, and the test images that the model gets wrong).
"""

import numpy as np

import carnyx as keras
from carnyx import layers


def load():
    """Pixels in 0 … 1 with a channel axis: (n, 8, 8, 1)."""
    (x_train, y_train), (x_test, y_test) = keras.datasets.digits.load_data()
    scaled = [x[..., None].astype("float32") / 16 for x in (x_train, x_test)]
    return (scaled[0], y_train), (scaled[1], y_test)


def build():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.BatchNormalization(momentum=0.9),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )


def draw(history, images, labels, guesses, path):
    """Curves on the left, misclassified images (at most 12) on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subfigures(1, 2)
    for axes, name in zip(left.subplots(2, 1, sharex=True), ("loss", "accuracy")):
        for key, label in ((name, "training"), ("val_" + name, "validation")):
            axes.plot(range(1, len(history[key]) + 1), history[key], label=label)
        axes.set_ylabel(name)
        axes.legend()
    axes.set_xlabel("epoch")
    wrong = np.flatnonzero(labels != guesses)
    right.suptitle(f"{len(wrong)} of {len(labels)} test images misclassified")
    cells = right.subplots(3, 4).flat
    for cell in cells:
        cell.axis("off")
    for cell, i in zip(right.axes, wrong):
        cell.imshow(images[i, :, :, 0], cmap="gray_r")
        cell.set_title(f"{labels[i]} read as {guesses[i]}", fontsize=9)
    figure.savefig(path)


def main(epochs=30):
    keras.utils.set_random_seed(0)
    train, (x_test, y_test) = load()
    model = build()
    model.summary()
    model.compile(
        optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(
        *train,
        batch_size=32,
        epochs=epochs,
        validation_split=0.15,
        callbacks=[
            keras.callbacks.EarlyStopping(patience=8),
            keras.callbacks.ModelCheckpoint("digits.keras", save_best_only=True),
            keras.callbacks.CSVLogger("history.csv"),
        ],
    )
    best = keras.models.load_model("digits.keras")
    loss, accuracy = best.evaluate(x_test, y_test, verbose=0)
    guesses = best.predict(x_test, verbose=0).argmax(axis=-1)
    draw(history.history, x_test, y_test, guesses, "digits.png")
    print(f"Accuracy of the saved model on {len(y_test)} unseen images: {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
