"""A source that can start again does so for every evaluation.

Why it happened: with `validation_steps` a stream went on where the last evaluation had
ended, as training with `steps_per_epoch` has to. So every epoch was validated on other
batches, and in the end on none. An epoch that does not come after the last one begins
anew; only what cannot (a generator) goes on, and its end is an error that says which
data ended, while the history keeps what there was.
"""

import warnings

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import DataError


def batches(count=4):
    for i in range(count):
        yield np.ones((2, 1), "float32"), np.full((2, 1), i, "float32")


class Loader:
    """Any iterable that begins again."""

    def __iter__(self):
        return batches()


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return list(batches())[index]


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return list(batches())[index % 4]


class Once:
    """Looks as if it began again, and only hands its one generator out."""

    def __init__(self):
        self.generator = batches(3)

    def __iter__(self):
        return self.generator


def torch_loader():
    torch = pytest.importorskip("torch")
    data = [tuple(torch.as_tensor(v[0]) for v in batch) for batch in batches()]
    rows = [row for row in data for _ in range(2)]
    return torch.utils.data.DataLoader(rows, batch_size=2)


def tf_data():
    tf = pytest.importorskip("tensorflow")
    spec = tf.TensorSpec((2, 1), "float32")
    return tf.data.Dataset.from_generator(batches, output_signature=(spec, spec))


def own_dataset():
    x = np.ones((8, 1), "float32")
    y = np.repeat(np.arange(4, dtype="float32"), 2)[:, None]
    return keras.utils.timeseries_dataset_from_array(x, y, 1, batch_size=2)


def arrays():
    x = np.ones((8, 1), "float32")
    return x, np.repeat(np.arange(4, dtype="float32"), 2)[:, None]


SOURCES = {
    "loader": Loader,
    "sequence": Sequence,
    "endless": Endless,
    "dataset": own_dataset,
    "arrays": arrays,
    "torch": torch_loader,
    "tf.data": tf_data,
}


def still_model(**compiled):
    """A model that gives 0, and does not learn."""
    layer = keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.0), "mse", **compiled)
    return model


@pytest.mark.parametrize("name", SOURCES)
def test_every_validation_is_of_the_same_batches(name):
    model, x, y = still_model(), *arrays()
    size = {"validation_batch_size": 2} if name == "arrays" else {}
    history = model.fit(
        x, y, epochs=3, verbose=0, validation_data=SOURCES[name](),
        validation_steps=2, **size,
    ).history  # fmt: skip
    assert history["val_loss"] == [0.5, 0.5, 0.5]  # of targets 0 and 1


@pytest.mark.parametrize("name", SOURCES)
def test_every_evaluation_is_of_the_same_batches(name):
    source = SOURCES[name]()
    given = source if isinstance(source, tuple) else (source,)
    size = {"batch_size": 2} if name == "arrays" else {}
    model = still_model()
    losses = [model.evaluate(*given, steps=2, verbose=0, **size) for _ in range(2)]
    assert losses == [0.5, 0.5]


def test_training_by_steps_goes_on_where_it_was():
    history = still_model().fit(Loader(), steps_per_epoch=2, epochs=2, verbose=0)
    assert history.history["loss"] == [0.5, 6.5]  # targets 0, 1; then 2, 3


@pytest.mark.parametrize("source", [lambda: batches(3), Once])
@pytest.mark.parametrize("steps", [None, 3])
def test_a_generator_that_ended_says_which_data_it_was(source, steps):
    model, x, y = still_model(), *arrays()
    with pytest.raises(DataError, match="the validation data: .* gave no batch"):
        model.fit(
            x, y, epochs=5, verbose=0, validation_data=source(),
            validation_steps=steps,
        )  # fmt: skip
    history = model.history
    assert history.history == {"loss": [3.5, 3.5], "val_loss": [pytest.approx(5 / 3)]}
    assert history.epochs_of == {"loss": [0, 1], "val_loss": [0]}


def test_training_ends_with_its_data():
    """A warning, as in Keras, and what there was; callbacks hear of the end."""
    model, ends = still_model(), []
    told = keras.callbacks.LambdaCallback(on_train_end=ends.append)
    with pytest.warns(UserWarning, match="in epoch 3.* ends after 2 of 5 epochs"):
        history = model.fit(
            batches(4), steps_per_epoch=2, epochs=5, verbose=0, callbacks=[told]
        )
    assert history.history == {"loss": [0.5, 6.5]}
    assert ends == [{"loss": 6.5}]


@pytest.mark.parametrize("count", [3, 4])
def test_the_last_epoch_may_be_short(count):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        history = still_model().fit(
            batches(count), steps_per_epoch=2, epochs=3, verbose=0
        )
    assert history.history["loss"] == [0.5, 4.0 if count == 3 else 6.5]
    texts = [str(w.message) for w in told]
    assert len(texts) == (2 if count == 3 else 1)
    assert "ends after 2 of 3 epochs" in texts[-1]


def test_data_without_a_batch_is_an_error():
    source = batches(2)
    list(source)
    with pytest.raises(DataError, match="gave no batch"):
        still_model().fit(source, epochs=2, verbose=0)


class Fails(keras.callbacks.Callback):
    def __init__(self, hook, error):
        super().__init__()
        self.error = error
        setattr(self, hook, self.fail)

    def fail(self, *_):
        if len(self.model.history.epoch) == 2:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    "hook, losses",
    [
        ("on_epoch_begin", 2),
        ("on_train_batch_end", 2),  # of an epoch that is not over
        ("on_test_batch_end", 3),  # the training of the third is
    ],
)
def test_a_fit_that_fails_keeps_its_history(hook, losses, error):
    model, data = still_model(), arrays()
    with pytest.raises(type(error)):
        model.fit(
            *data, epochs=4, verbose=0, validation_data=data,
            callbacks=[Fails(hook, error)],
        )  # fmt: skip
    assert model.history.history == {"loss": [3.5] * losses, "val_loss": [3.5] * 2}
