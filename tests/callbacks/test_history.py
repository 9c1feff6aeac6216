"""What `fit` returns: numbers and curves."""

import pytest
from matplotlib import pyplot

from carnyx import callbacks


@pytest.fixture
def history():
    history = callbacks.History()
    history.on_train_begin()
    for epoch in range(4):
        logs = {"accuracy": 0.25 * epoch, "loss": 1.0 / (epoch + 1)}
        if epoch % 2:
            logs |= {"val_accuracy": 0.125 * epoch, "val_loss": 2.0 / (epoch + 1)}
        history.on_epoch_end(epoch, logs)
    yield history
    pyplot.close("all")


def curves(ax):
    return {
        line.get_label(): (
            [int(x) for x in line.get_xdata()],
            [float(y) for y in line.get_ydata()],
            line.get_linestyle(),
            line.get_color(),
        )
        for line in ax.lines
    }


def test_numbers(history):
    assert history.epoch == [0, 1, 2, 3]
    assert history.history["val_loss"] == [1.0, 0.5]
    assert history.history["accuracy"] == [0.0, 0.25, 0.5, 0.75]


def test_a_panel_for_each_quantity_with_its_validation_dashed(history, tmp_path):
    first = history.plot()
    panels = first.figure.axes
    assert [ax.get_ylabel() for ax in panels] == ["accuracy", "loss"]
    drawn = curves(panels[1])
    assert drawn["loss"][:3] == ([1, 2, 3, 4], [1.0, 0.5, 1 / 3, 0.25], "-")
    assert drawn["val_loss"][:3] == ([2, 4], [1.0, 0.5], "--")
    assert drawn["loss"][3] == drawn["val_loss"][3]
    first.figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_all_curves_into_axes_that_are_given(history):
    _, ax = pyplot.subplots()
    assert history.plot(ax) is ax
    assert set(curves(ax)) == {"accuracy", "loss", "val_accuracy", "val_loss"}


def test_a_single_epoch_is_a_point():
    history = callbacks.History()
    history.on_train_begin()
    history.on_epoch_end(0, {"val_only": 1.0})
    (line,) = history.plot().lines
    assert line.get_label() == "val_only" and line.get_marker() == "."
    pyplot.close("all")
