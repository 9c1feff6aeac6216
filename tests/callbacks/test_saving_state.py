"""What callbacks that save keep in backups, by the names that backups have."""

import pytest

from carnyx.callbacks import ModelCheckpoint

NAMES = ("best", "_epoch", "_since_saving", "_last_batch")


def test_a_checkpoint_goes_on_from_any_backup():
    saved = dict(zip(NAMES, (0.5, 3, 2, 7)))
    callback = ModelCheckpoint("model.keras", save_freq=4)
    callback.restore(saved)
    assert callback.state() == saved


@pytest.mark.parametrize("freq", ["batch", 0, -1, 2.5, True])
def test_times_to_save_are_checked(freq):
    with pytest.raises(ValueError, match="'epoch' or a number of batches"):
        ModelCheckpoint("model.keras", save_freq=freq)
