"""Models whose first layers work on texts: as if the texts had been numbers."""

import pickle

import jax
import numpy as np
import pytest

import carnyx as keras
from carnyx import layers
from carnyx._data import Dataset

TEXTS = np.array(["good film", "bad film", "very good indeed", "very bad"] * 6)
Y = np.array([1.0, 0.0, 1.0, 0.0] * 6)
AGES = np.arange(24.0, dtype="float32") / 24


def vectorizer():
    layer = layers.TextVectorization(output_sequence_length=3)
    layer.adapt(TEXTS)
    return layer


def tail():
    return [
        layers.Embedding(8, 4), layers.Flatten(), layers.Dense(1),
    ]  # fmt: skip


def compiled(model):
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    return model


def on_texts(kind="functional"):
    keras.utils.set_random_seed(0)
    words = vectorizer()
    if kind == "sequential":
        return compiled(keras.Sequential([words, *tail()]))
    shape = (1,) if kind == "functional" else ()
    inputs = outputs = keras.Input(shape, dtype="string")
    for layer in (words, *tail()):
        outputs = layer(outputs)
    return compiled(keras.Model(inputs, outputs))


def on_numbers():
    keras.utils.set_random_seed(0)
    return compiled(keras.Sequential([keras.Input((3,), dtype="int32"), *tail()]))


OPTIONS = {"batch_size": 8, "epochs": 2, "verbose": 0}


@pytest.mark.parametrize("kind", ["functional", "scalar", "sequential"])
def test_training_is_that_on_numbers(kind):
    expected = on_numbers()
    keras.utils.set_random_seed(1)
    numbers = np.asarray(vectorizer()(TEXTS))
    wanted = expected.fit(numbers, Y, validation_split=0.25, **OPTIONS).history
    model = on_texts(kind)
    keras.utils.set_random_seed(1)
    found = model.fit(TEXTS, Y, validation_split=0.25, **OPTIONS).history
    assert {k: pytest.approx(v, rel=1e-5) for k, v in wanted.items()} == found
    assert model.evaluate(TEXTS, Y, verbose=0) == pytest.approx(
        expected.evaluate(numbers, Y, verbose=0)
    )
    predicted = expected.predict(numbers, verbose=0)
    for predict in (
        lambda x: model.predict(x, verbose=0),
        lambda x: model.predict(x, verbose=2, batch_size=5),
        model.predict_on_batch,
        model,
    ):
        np.testing.assert_allclose(predict(TEXTS), predicted, rtol=1e-5)
    assert model.train_on_batch(TEXTS, Y) == pytest.approx(
        expected.train_on_batch(numbers, Y)
    )
    assert model.test_on_batch(TEXTS, Y) == pytest.approx(
        expected.test_on_batch(numbers, Y)
    )


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return TEXTS[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]


def pairs():
    return ((TEXTS[i : i + 8], Y[i : i + 8]) for i in range(0, 24, 8))


SOURCES = {
    "lists": lambda: (TEXTS.tolist(), Y),
    "objects": lambda: (TEXTS.astype(object)[:, None], Y),
    "bytes": lambda: (TEXTS.astype("S"), Y),
    "generator": lambda: (pairs(),),
    "iterable": lambda: (list(pairs()).__iter__(),),
    "PyDataset": lambda: (Batches(),),
    "Dataset": lambda: (Dataset(24, lambda i: (TEXTS[i], Y[i])).batch(8),),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_of_texts(name):
    losses = []
    for data in ((TEXTS, Y), SOURCES[name]()):
        size = {} if len(data) == 1 else {"batch_size": 8}
        model = on_texts()
        losses.append(model.fit(*data, shuffle=False, verbose=0, **size).history)
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-5)


def test_shuffled_texts_keep_their_targets():
    model = on_texts()
    model.fit(TEXTS, Y, batch_size=4, epochs=60, verbose=0)
    np.testing.assert_allclose(model.predict(TEXTS, verbose=0)[:, 0], Y, atol=0.2)


def mixed():
    """Texts, categories and numbers by name."""
    text, kind, age = (
        keras.Input((1,), dtype=d, name=n)
        for n, d in (("text", "string"), ("kind", "int32"), ("age", "float32"))
    )
    kinds = layers.IntegerLookup(vocabulary=[7, 9], output_mode="one_hot")
    words = layers.Hashing(5, output_mode="one_hot")
    crossed = layers.HashedCrossing(6, output_mode="one_hot")([text, kind])
    merged = layers.Concatenate()([words(text), kinds(kind), crossed, age])
    inputs = {"text": text, "kind": kind, "age": age}
    return compiled(keras.Model(inputs, layers.Dense(1)(merged)))


DATA = {"text": TEXTS, "kind": np.array([7, 9, 1, 1] * 6), "age": AGES}


def test_texts_beside_numbers(tmp_path):
    model = mixed()
    loss = model.fit(DATA, Y, epochs=5, verbose=0).history["loss"]
    assert loss[-1] < loss[0]
    predicted = model.predict(DATA, verbose=0)
    as_batch = {k: np.asarray(v)[:, None] for k, v in DATA.items()}
    np.testing.assert_allclose(model(as_batch), predicted, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    for again in (
        keras.models.load_model(tmp_path / "model.keras"),
        pickle.loads(pickle.dumps(model)),
    ):
        np.testing.assert_allclose(again.predict(DATA, verbose=0), predicted, rtol=1e-5)
        again.fit(DATA, Y, verbose=0)


def test_what_was_learned_is_in_files(tmp_path):
    model = on_texts("sequential")
    model.fit(TEXTS, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    words = [m.layers[0].get_vocabulary() for m in (model, again)]
    assert words[0] == words[1] and len(words[0]) > 5
    predicted = [m.predict(TEXTS, verbose=0) for m in (model, again)]
    np.testing.assert_allclose(*predicted)
    with pytest.raises(ValueError, match="cannot hold the vocabulary of"):
        model.save(tmp_path / "model.h5")


def test_integers_in_the_middle_of_a_compiled_function():
    bins = layers.Hashing(7)
    ids = np.arange(6).reshape(2, 3)
    assert jax.jit(bins)(ids).tolist() == bins(ids).tolist()
    inputs = keras.Input((4,))
    steps = layers.Lambda(lambda x: keras.ops.cast(10 * x, "int32"))
    hidden = steps(layers.Dense(1)(inputs))
    hot = layers.IntegerLookup(vocabulary=[0, 1, 2], output_mode="one_hot")(hidden)
    model = compiled(keras.Model(inputs, layers.Dense(1)(hot)))
    x = np.ones((8, 4), "float32")
    assert np.isfinite(model.fit(x, np.ones(8), verbose=0).history["loss"][0])
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x), rtol=1e-5)
    with pytest.raises(ValueError, match="gives texts, which cannot be in the middle"):
        jax.jit(layers.StringLookup(vocabulary=["a"], invert=True))(ids)


def test_texts_that_no_layer_numbers():
    with pytest.raises(ValueError, match="got texts, but computes with numbers"):
        layers.Dense(2)(TEXTS[:, None])
    with pytest.raises(ValueError, match="got texts, but computes with numbers"):
        layers.Dense(2)(keras.Input((1,), dtype="string"))
    inner = on_texts()
    outer = keras.Input((1,), dtype="string")
    model = compiled(keras.Model(outer, layers.Dense(1)(inner(outer))))
    with pytest.raises(ValueError, match="takes texts and has weights"):
        model.fit(TEXTS, Y, verbose=0)


def test_a_layer_in_a_dataset_stays_on_the_host():
    words = vectorizer()
    batches = Dataset(24, lambda i: TEXTS[i]).batch(8).map(words)
    for batch, start in zip(batches, range(0, 24, 8), strict=True):
        assert isinstance(batch, np.ndarray)
        assert batch.tolist() == words(TEXTS[start : start + 8]).tolist()
