"""Kind: a number that cannot be right, taken without a look.

`fit(epochs=2.5)` trained three epochs, `resume=True` made a folder named "True", and
NumPy's integers failed in some places: arguments of the loops were used where they were
needed, never checked where they were given. Every one is now looked at once, first.
"""

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import ArgumentError

X, Y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")


@pytest.fixture(scope="module")
def model():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="net")
    net.compile("sgd", "mse")
    return net


COUNTS = {
    "fit": ("batch_size", "steps_per_epoch", "epochs", "validation_steps")
    + ("validation_batch_size", "validation_freq"),
    "evaluate": ("batch_size", "steps"),
    "predict": ("batch_size", "steps"),
}


def _call(model, method, **options):
    data = {"x": X} if method == "predict" else {"x": X, "y": Y}
    if method == "fit":
        options = {"validation_data": (X, Y)} | options
    return getattr(model, method)(**data, verbose=0, **options)


@pytest.mark.parametrize("wrong", [2.5, "3", -1, True, np.float32(2), [1.5]])
@pytest.mark.parametrize(
    "method, name", [(m, name) for m, names in COUNTS.items() for name in names]
)
def test_wrong_counts_are_refused(model, method, name, wrong):
    with pytest.raises(ArgumentError, match=f"{method}: {name} got"):
        _call(model, method, **{name: wrong})


@pytest.mark.parametrize(
    "method, name", [(m, name) for m, names in COUNTS.items() for name in names]
)
def test_integers_of_numpy_are_integers(model, method, name):
    _call(model, method, **{name: np.int64(1)})


@pytest.mark.parametrize("wrong", [1.0, -0.1, "0.5", 3])
def test_wrong_shares_are_refused(model, wrong):
    with pytest.raises(ArgumentError, match="validation_split got .* share"):
        model.fit(X, Y, validation_split=wrong, verbose=0)
    model.fit(X, Y, validation_split=np.float32(0.5), verbose=0)


def test_an_epoch_to_begin_with(model):
    with pytest.raises(ArgumentError, match="initial_epoch got -1"):
        model.fit(X, Y, initial_epoch=-1, verbose=0)
    history = model.fit(X, Y, epochs=3, initial_epoch=np.int32(2), verbose=0)
    assert history.epoch == [2]


def test_steps_per_execution_is_one_too(model):
    with pytest.raises(ArgumentError, match=r"steps_per_execution got 1\.5"):
        keras.Sequential([keras.layers.Dense(1)]).compile(
            "sgd", "mse", steps_per_execution=1.5
        )


def test_a_folder_by_default(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["some/where/train.py", "--fast"])
    model.fit(X, Y, resume=True, verbose=2)
    assert (tmp_path / "backups" / "train-net").is_dir()
    assert "backups/train-net" in capsys.readouterr().out
    assert not (tmp_path / "True").exists()
    model.fit(X, Y, resume=False, verbose=0)
    assert [p.name for p in tmp_path.iterdir()] == ["backups"]


@pytest.mark.parametrize("wrong", [3, "", 1.5])
def test_a_folder_has_a_name(model, wrong):
    with pytest.raises(ArgumentError, match="resume got .* a folder for backups"):
        model.fit(X, Y, resume=wrong, verbose=0)
