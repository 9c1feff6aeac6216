"""What a callback keeps in a file survives a run that goes on, or is run again.

Why it happened: a file was emptied when training began, before it was known that the
run goes on from a backup, or is finished and does nothing; and what counts steps in an
epoch forgot how far that epoch was. The expected content is that of a run which was
never interrupted.
"""

import csv
import http.server
import json
import threading

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import ArgumentError

X = np.arange(24, dtype="float32").reshape(12, 2) / 24
Y = X[:, :1]


def small():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Ends the run after so many batches, as a machine that goes down."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.fixture
def server():
    """Keeps what is posted to it."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            got.append(json.loads(self.rfile.read(length))["epoch"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("localhost", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        running.got = got
        yield running
        running.shutdown()


def csv_of(folder, server):
    return keras.callbacks.CSVLogger(folder / "log.csv")


def appending(folder, server):
    (folder / "log.csv").write_text("epoch,loss,mae\r\n7,1,1\r\n")
    return keras.callbacks.CSVLogger(folder / "log.csv", append=True)


def each_epoch(folder, server):
    return keras.callbacks.ModelCheckpoint(folder / "{epoch}.weights.h5", **ALONE)


def each_steps(folder, server):
    path = folder / "{epoch}-{batch}.weights.h5"
    return keras.callbacks.ModelCheckpoint(path, save_freq=2, **ALONE)


def best(folder, server):
    path = folder / "{epoch}.weights.h5"
    return keras.callbacks.ModelCheckpoint(
        path, monitor="mae", mode="max", save_best_only=True, **ALONE
    )


def board(folder, server):
    return keras.callbacks.TensorBoard(folder, update_freq=1, write_graph=False)


def remote(folder, server):
    host, port = server.server_address
    return keras.callbacks.RemoteMonitor(f"http://{host}:{port}", send_as_json=True)


ALONE = {"save_weights_only": True}
TABLE = [csv_of, appending, each_epoch, each_steps, best, board, remote]


def content(folder, server):
    """What is in the files, as far as it is the same for the same training."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".csv":
            found[path.name] = path.read_text()
        elif path.suffix == ".h5":
            found[path.name] = [w.tolist() for w in weights_in(path)]
        elif "tfevents" in path.name:
            found["board"] = found.get("board", 0) + path.read_bytes().count(
                b"epoch_loss"
            )
    return found | {"posted": sorted(set(server.got))}


def weights_in(path):
    model = small()
    model.load_weights(path)
    return model.get_weights()


def train(folder, server, make, kill=None, epochs=4):
    folder.mkdir(exist_ok=True)
    callbacks = [make(folder, server), *([Kill(kill)] if kill else [])]
    backups = keras.callbacks.BackupAndRestore(
        folder / "backups", save_freq=1, delete_checkpoint=False
    )
    small().fit(
        X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=[*callbacks, backups]
    )


@pytest.mark.filterwarnings("ignore:.*has no state of Kill")
@pytest.mark.parametrize("kill", [5, 6, 8], ids=["middle", "end", "late"])
@pytest.mark.parametrize("make", TABLE)
def test_a_run_that_goes_on_leaves_the_files_of_one_that_was_whole(
    make, kill, tmp_path, server
):
    train(tmp_path / "whole", server, make)
    expected = content(tmp_path / "whole", server)
    server.got.clear()
    with pytest.raises(Killed):
        train(tmp_path / "cut", server, make, kill=kill)
    if make is appending:  # the same script, whose file is there by now
        make = lambda folder, server: keras.callbacks.CSVLogger(  # noqa: E731
            folder / "log.csv", append=True
        )
    train(tmp_path / "cut", server, make)
    assert content(tmp_path / "cut", server) == expected


@pytest.mark.parametrize("make", TABLE)
def test_a_finished_run_that_is_run_again_changes_nothing(make, tmp_path, server):
    train(tmp_path / "run", server, make, epochs=2)
    if make is appending:
        make = csv_of
    before = content(tmp_path / "run", server)
    train(tmp_path / "run", server, make, epochs=2)
    assert content(tmp_path / "run", server) == before


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_columns_of_a_table_are_what_there_was(tmp_path):
    path = tmp_path / "log.csv"
    logger = keras.callbacks.CSVLogger(path)
    small().fit(X, Y, epochs=2, verbose=0, callbacks=[logger])
    assert rows(path)[0] == ["epoch", "loss", "mae"]
    small().fit(
        X, Y, epochs=3, verbose=0, callbacks=[logger],
        validation_data=(X, Y), validation_freq=2,
    )  # fmt: skip
    first, one, two, three = rows(path)
    assert first == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert one[3:] == three[3:] == ["NA", "NA"] and "NA" not in two
    more = keras.callbacks.CSVLogger(path, append=True)
    small().fit(X, Y, epochs=1, verbose=0, callbacks=[more])
    assert [r[0] for r in rows(path)] == ["epoch", "0", "1", "2", "0"]
    assert rows(path)[-1][3:] == ["NA", "NA"]


def test_a_table_that_is_not_there_any_more_begins_anew(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, None, csv_of, kill=8)
    (tmp_path / "log.csv").unlink()
    train(tmp_path, None, csv_of)
    first, *others = [row[0] for row in rows(tmp_path / "log.csv")]
    assert first == "epoch" and others == ["0", "1", "2", "3"][-len(others) :]


@pytest.mark.parametrize("given", [None, "", 3, True])
def test_backups_need_a_folder(given):
    with pytest.raises(ArgumentError, match="environment variable"):
        keras.callbacks.BackupAndRestore(given)


def test_the_folder_of_backups_goes_with_them(tmp_path):
    for other in (False, True):
        folder = tmp_path / "backups"
        callback = keras.callbacks.BackupAndRestore(folder)
        if other:
            folder.mkdir()
            (folder / "mine.txt").write_text("kept")
        small().fit(X, Y, epochs=2, verbose=0, callbacks=[callback])
        assert folder.exists() == other
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]
