"""Data of a wrong form: the error says which argument, what it is, and what to do.

Why it happened: data was looked at leaf by leaf, so an error named a leaf
(`x[0][0] is float`) where the user had given a list of rows, and where the form was
right for another model (a list of arrays is several inputs), the error came from the
model. What each mistake is meant as was known only to the reader.
"""

import re
import warnings

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers
from carnyx.errors import DataError

X = np.linspace(0, 1, 24, dtype="float32").reshape(8, 3)
Y = np.linspace(1, 2, 16, dtype="float32").reshape(8, 2)
LABELS = np.array([0, 1] * 4)
ROWS, ROWS_Y = list(X), list(Y)
RAGGED = np.array([np.ones(3), np.ones(2)] * 4, object)
MASKED = np.ma.masked_array(X, X > 0.5)


class Batches(keras.utils.PyDataset):
    def __init__(self, *items):
        super().__init__()
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


def fit(x, y=None, **arguments):
    return lambda model: model.fit(x, y, verbose=0, **arguments)


def fitted_classes(class_weight, **arguments):
    return fit(X, LABELS[:, None], class_weight=class_weight, **arguments)


def source(*items, kind=iter):
    return fit(Batches(*items) if kind is Batches else iter(items))


WRONG = {
    # lists where arrays are expected
    "a list of rows": (fit(ROWS, Y), "x is a list of 8 .*numpy.stack.x."),
    "few rows": (fit(ROWS[:2], Y[:2]), "x is a list of 2 arrays.*numpy.stack.x."),
    "as many rows as columns": (
        fit(ROWS[:3], Y[:3]), "takes 1 inputs .*but got 3.*numpy.stack.x."
    ),
    "rows of both": (fit(ROWS, ROWS_Y), "is a list of 8 arrays.*numpy.stack"),
    "targets by row": (fit(X, ROWS_Y), "y is a list of 8 arrays.*numpy.stack.y."),
    "rows to split": (
        fit(ROWS, Y, validation_split=0.25), "x is a list of 8 .*numpy.stack.x."
    ),
    "rows to predict": (lambda m: m.predict(ROWS), "but got 8.*numpy.stack.x."),
    "rows in one batch": (lambda m: m.train_on_batch(ROWS, Y), "numpy.stack.x."),
    "lists": (fit(X.tolist(), Y), r"x is a list of numbers, of shape \(8, 3\)"),
    "a list of targets": (fit(X, [0, 1] * 4), r"y is a list of numbers.*array\(y\)"),
    "a list of weights": (
        fit(X, Y, sample_weight=[1.0] * 8),
        r"sample_weight is a list of numbers.*array\(sample_weight\)",
    ),
    "lists to predict": (lambda m: m.predict([1.0, 2.0, 3.0]), "x is a list of numb"),
    "lists to split": (fit(X.tolist(), Y, validation_split=0.5), "x is a list of num"),
    "lists in one batch": (lambda m: m.train_on_batch(X.tolist(), Y), "x is a list of"),
    "lists by name": (fit({"a": [1, 2]}, Y), r"x\['a'\] is a list of numbers"),
    "ragged lists": (fit([[1, 2, 3], [1, 2]], Y[:2]), "different lengths.*pad_sequen"),
    "a tuple with targets": (fit((X, Y)), r"takes 1 inputs .* got 2.*fit\(x, y\)"),
    "targets to predict": (lambda m: m.predict((X, Y)), "takes 1 inputs .* got 2"),
    "an empty list": (fit([], Y), "x is an empty list"),
    "an empty dict": (fit({}, Y), "x is an empty dict"),
    # not numbers
    "ragged objects": (fit(RAGGED, Y), "rows of different shapes.*pad_sequences"),
    "text": (fit(X.astype(str), Y), "x has dtype <U.*Encode text first"),
    "text as objects": (
        fit(np.array([["a", 1, 2]] * 8, object), Y), "dtype object, of str such as 'a'"
    ),
    "text in lists": (fit(["a", "b"] * 4, Y), "x is a list of text .'a'.*Encode text"),
    "classes as text": (
        fit(X, np.array(["a", "b"] * 4)), "y has dtype <U1.*numpy.unique.y, return_inv"
    ),
    "classes as a list of text": (fit(X, ["a", "b"] * 4), "y is a list of text"),
    "dates": (fit(X.astype(int).astype("M8[s]"), Y), "x has dtype datetime64"),
    "weights as text": (
        fit(X, Y, sample_weight=np.array(["a"] * 8)), "sample_weight has dtype <U1"
    ),
    "masked values": (fit(MASKED, Y), r"x is a masked array with \d+ values.*filled"),
    # no data
    "nothing": (fit(None), "x is None; expected arrays"),
    "nothing with targets": (fit(None, Y), "x is None; expected arrays"),
    "a list of nothing": (fit([None], Y), "got None"),
    "no samples": (fit(X[:0], Y[:0]), "x has no samples: it is empty"),
    "no targets": (fit(X), "y is None. Give y"),
    "no samples of targets": (fit(X, Y[:0]), "y has no samples"),
    "a number": (fit(np.array(3.0), Y), "x is a single value"),
    "a path": (fit("data/train"), "x is 'data/train', a name; fit does not open files"),
    "a set": (fit({1, 2}, Y), "x is a set, which has no order"),
    "a range": (fit(range(8), Y), r"expected an array: numpy.arange\(0, 8\)"),
    "a model": (fit(keras.Sequential(), Y), "x is <Sequential"),
    "a generator function": (fit(lambda: iter([])), "is the function .*call it"),
    # sizes
    "short targets": (fit(X, Y[:5]), "x has 8, y has 5"),
    "short weights": (fit(X, Y, sample_weight=np.ones(5)), "sample_weight has 5"),
    "turned": (fit(X.T, Y), "x has 3, y has 8"),
    "one weight": (fit(X, Y, sample_weight=2.0), "sample_weight is float .2.0."),
    "weights by column": (
        fit(X, Y, sample_weight=np.ones((8, 2))), "one for each sample"
    ),
    "weights of classes": (
        fit(X, Y, sample_weight={0: 1.0, 1: 2.0}), "class_weight=.0: 1.0, 1: 2.0"
    ),
    # sources
    "a source and targets": (fit(Batches((X, Y)), Y), "a Batches.*so y must come with"),
    "a source and weights": (
        fit(Batches((X, Y)), sample_weight=np.ones(8)), "so sample_weight must come"
    ),
    "a source to split": (
        fit(Batches((X, Y)), validation_split=0.2), "got Batches. .*validation_data"
    ),
    "nothing in a batch": (source(None), "In batch 0 of the source: .*gave None"),
    "single samples": (source(*zip(X, Y)), "batch 0 .*x has 3, y has 2.*into"),
    "four parts": (source((X, Y, Y, Y)), "batch 0 .*has 4 parts.*Several"),
    "text in a source": (source("ab", "cd"), "batch 0 of the source: x is str"),
    "lists in a source": (source((X.tolist(), Y)), "batch 0 .*x is a list of numb"),
    "short in a source": (source((X, Y), (X, Y[:3])), "batch 1 of .*x has 8, y has 3"),
    "short in a Sequence": (
        source((X, Y), (X, Y[:3]), kind=Batches), "batch 1 of .*x has 8, y has 3"
    ),
    "no targets in a source": (source(X), "y is None"),
    "an empty source": (source(), "gave no batch: it is empty or at its end"),
    "an empty Sequence": (source(kind=Batches), "Batches has no batches"),
    # validation data
    "validated on x": (fit(X, Y, validation_data=X), "validation_data got an array"),
    "validated on [x]": (fit(X, Y, validation_data=[X]), r"expected \(x, y\)"),
    "a share as data": (
        fit(X, Y, validation_data=0.2), "validation_data got 0.2.*validation_split=0.2"
    ),
    "validated on four": (
        fit(X, Y, validation_data=(X, Y, Y, Y)), "validation_data: .*4 parts"
    ),
    "short validation": (
        fit(X, Y, validation_data=(X, Y[:4])), "validation_data: .*x has 8, y has 4"
    ),
    "validated on rows": (
        fit(X, Y, validation_data=(ROWS, Y)), "validation_data: x is a list of 8 arrays"
    ),
    "validated on nothing": (
        fit(X, Y, validation_data=(None, None)), "validation_data: x is None"
    ),
    # weights of classes
    "a list of class weights": (fitted_classes([1, 2]), "class_weight={0: 1, 1: 2}"),
    "an array of class weights": (
        fitted_classes(np.array([1.0, 2.0])), "class_weight got array.*expected a dict"
    ),
    "balanced": (fitted_classes("balanced"), "class_weight got 'balanced'; exp"),
    "classes by text": (fitted_classes({"0": 1, "1": 2}), "has the key '0'; expected "),
    "classes in between": (fitted_classes({0.5: 1}), "has the key 0.5; expected the "),
    "weights by text": (fitted_classes({0: "a", 1: 2}), "class 0 the weight 'a'"),
    "no weight": (fitted_classes({0: None, 1: 2}), "class 0 the weight None"),
    "weight of nothing": (fitted_classes({0: np.nan, 1: 2}), "class 0 the weight nan"),
    "two kinds of weights": (
        fitted_classes({0: 1, 1: 2}, sample_weight=np.ones(8)),
        "class_weight and sample_weight; give one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named(name, model):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=f"(?s){message}") as caught:
        call(model)
    assert not re.search(r"\[0\]\[0\]|zip\(\)|object of type", str(caught.value))


def test_another_width_of_validation_data(model):
    with pytest.raises(ValueError, match="shape .8, 2.") as caught:
        model.fit(X, Y, validation_data=(X[:, :2], Y), verbose=0)
    notes = getattr(caught.value, "__notes__", [])
    assert any("validation data" in note for note in notes)


def test_an_array_that_nothing_is_masked_of(model):
    model.predict(np.ma.masked_array(X, np.zeros(X.shape, bool)), verbose=0)


def test_a_batch_size_that_is_not_used(model):
    for call in (model.fit, model.evaluate):
        with pytest.warns(UserWarning, match="batch_size=4 is not used: x is a Batch"):
            call(Batches((X, Y)), batch_size=4, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(
            X, Y, batch_size=4, validation_data=Batches((X, Y)), verbose=0
        )  # fmt: skip


def test_more_steps_than_batches(model):
    with pytest.warns(UserWarning, match="5 steps were asked for, but Batches has 1"):
        model.fit(Batches((X, Y)), steps_per_epoch=5, verbose=0)


def test_data_errors_are_of_data():
    with pytest.raises(DataError, match="In batch 0 of the source"):
        keras.Sequential([layers.Dense(1)]).predict(iter(["a"]), verbose=0)
