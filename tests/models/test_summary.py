"""`summary` shows what Keras shows."""

import shutil

import keras as oracle
import numpy as np
import pytest

import carnyx
from tests.models.graphs import GRAPHS

LIBRARIES = {"carnyx": carnyx, "keras": oracle}
DIFFERENT = ("masked", "intermediate", "called_elsewhere_first")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert shutil.get_terminal_size().columns == 140


def text(model, **options):
    lines = []
    model.summary(print_fn=lines.append, **options)
    return "\n".join(lines)


def texts(build, **options):
    found = []
    for library in LIBRARIES.values():
        library.utils.clear_session()
        found.append(text(build(library), **options))
    return found


@pytest.mark.parametrize("name", [n for n in GRAPHS if n not in DIFFERENT])
def test_graphs(name):
    ours, theirs = texts(GRAPHS[name])
    # Keras numbers a model's name after the graph inside a Sequential
    assert ours.splitlines()[1:] == theirs.splitlines()[1:]


@pytest.mark.parametrize(
    "options",
    [
        {"expand_nested": True},
        {"show_trainable": True},
        {"expand_nested": True, "show_trainable": True},
        {"line_length": 70},
        {"layer_range": ["inner", "func"]},
        {"layer_range": ["re.*", "inner"]},
        {"positions": [0.3, 0.6, 1.0]},
    ],
    ids=str,
)
def test_options(options):
    ours, theirs = texts(GRAPHS["sequential_of_models"], **options)
    assert ours == theirs


def subclassed(k, called):
    class Net(k.Model):
        def __init__(self):
            super().__init__(name="net")
            self.first = k.layers.Dense(3, name="first")
            self.second = k.layers.Dense(2, name="second", trainable=False)

        def call(self, x):
            return self.second(self.first(x))

    net = Net()
    if called:
        net(np.zeros((1, 4), "float32"))
    return net


@pytest.mark.parametrize("called", [False, True])
def test_subclassed(called):
    ours, theirs = texts(lambda k: subclassed(k, called), show_trainable=True)
    assert ours == theirs
    assert ("(1, 3)" in ours) is called


def test_not_built():
    ours, theirs = texts(lambda k: k.Sequential([k.layers.Dense(2)], name="s"))
    assert ours == theirs
    assert "0 (unbuilt)" in ours


def test_optimizer():
    def build(k):
        model = GRAPHS["chain"](k)
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    ours, theirs = texts(build)
    assert ours == theirs
    assert "Optimizer params" in ours


def test_a_shared_weight_counts_once():
    ours, _ = texts(GRAPHS["at_two_depths"])
    assert "Total params: 40 (160.00 B)" in ours


def test_goes_to_standard_output_without_colours(capsys):
    model = GRAPHS["chain"](carnyx)
    model.summary()
    out = capsys.readouterr().out
    assert out == text(model)
    assert "\x1b" not in out


def test_bad_requests_say_what_there_is():
    model = GRAPHS["chain"](carnyx)
    with pytest.raises(carnyx.errors.ArgumentError, match="input_layer"):
        model.summary(layer_range=["who", "who"])
    with pytest.raises(carnyx.errors.ArgumentError, match="3 columns"):
        model.summary(positions=[0.5, 1.0])
    with pytest.raises(carnyx.errors.ArgumentError, match="line_length"):
        model.summary(line_length=12)
