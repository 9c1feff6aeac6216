"""Several processes train as one: the numbers, the files, the data of each."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from tests.distribution.processes import ended, run, start
from tests.distribution.shared_checks import flat

EVERYTHING = ("numbers", "split_weights", "half_precision", "own_parts")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("numbers")


def numbers(folder: Path, processes: int, what: tuple[str, ...]) -> list[Any]:
    run("train_networks.py", folder, *what, folder=folder, processes=processes)
    files = [folder / f"{processes}-{i}.pickle" for i in range(processes)]
    return [pickle.loads(file.read_bytes()) for file in files]


@pytest.fixture(scope="module")
def alone(folder: Path) -> Any:
    """The numbers of one process with one device."""
    return numbers(folder, 1, EVERYTHING)[0]


def check_same(got: dict[str, Any], expected: dict[str, Any], bound: float) -> None:
    assert list(got) == list(expected)
    for key, value in got.items():
        a, b = flat(value), flat(expected[key])
        if key in ("predict", "weights"):
            assert np.linalg.norm(a - b) <= bound * np.linalg.norm(b), key
        else:
            np.testing.assert_allclose(a, b, rtol=bound, err_msg=key)


def check_results(results: list[Any], alone: Any) -> None:
    for index, result in enumerate(results):
        for name, seen in result.items():
            expected, count = dict(alone[name]), len(results)
            if name == "own arrays":  # each predicts for its own samples
                expected["predict"] = expected["predict"][index::count]
            check_same(seen, expected, 2e-2 if name == "half" else 1e-5)


def test_two_processes_give_the_numbers_of_one(folder: Path, alone: Any) -> None:
    results = numbers(folder, 2, EVERYTHING)
    check_results(results, alone)
    for name in ("fsdp", "tensor parallel"):  # written by one, from the parts of both
        model = keras.models.load_model(folder / f"{name}-2.keras")
        for a, b in zip(model.get_weights(), results[0][name]["weights"], strict=True):
            np.testing.assert_array_equal(a, b)


def test_four_processes_give_the_numbers_of_one(folder: Path, alone: Any) -> None:
    check_results(numbers(folder, 4, ("few", "own_parts")), alone)


def test_what_two_processes_do_together(tmp_path: Path) -> None:
    first, second = run("check_together.py", tmp_path, folder=tmp_path, processes=2)
    assert "all is well" in first and "all is well" in second
    for text in ("Epoch 2/3", "Model: ", "saving model", "early stopping"):
        assert text in first
        assert text not in second


def test_who_wants_to_stop_when_all_is_done(tmp_path: Path) -> None:
    backups = tmp_path / "b"
    results = ended(
        start("stop_late.py", backups, folder=tmp_path, processes=2), seconds=100
    )
    for code, text in results:
        assert code == 143, text[-3000:]
        assert "goes on" in text and "went on after" not in text
    assert [folder.name for folder in backups.iterdir()] == ["step-000000000010"]


def test_initialize_alone_and_too_late(tmp_path: Path) -> None:
    run("check_initialize.py", folder=tmp_path, devices=2)
    run("check_late.py", folder=tmp_path)


def test_two_hosts_with_their_own_addresses(folder: Path, alone: Any) -> None:
    """In network namespaces, joined by a cable."""
    names = [f"carnyx{os.getpid()}{side}" for side in "ab"]
    a, b = names
    try:
        ip(f"netns add {a}", f"netns add {b}")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("network namespaces cannot be made here")
    addresses = ["10.213.77.1", "10.213.77.2"]
    try:
        for name, address in zip(names, addresses, strict=True):
            own = Path("/etc/netns", name)  # what `ip netns exec` shows as /etc
            own.mkdir(parents=True)
            (own / "hosts").write_text(
                f"127.0.0.1 localhost\n{address} {socket.gethostname()}\n"
            )
        ip(
            f"link add {a[-9:]} netns {a} type veth peer name {b[-9:]} netns {b}",
            *(f"-n {n} link set lo up" for n in names),
            *(f"-n {n} link set {n[-9:]} up" for n in names),
            f"-n {a} addr add 10.213.77.1/24 dev {a[-9:]}",
            f"-n {b} addr add 10.213.77.2/24 dev {b[-9:]}",
        )
        run(
            "train_networks.py", folder, "few", folder=folder, processes=2,
            host=addresses[0],
            prefixes=[["ip", "netns", "exec", name] for name in names],
        )  # fmt: skip
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)
            shutil.rmtree(Path("/etc/netns", name), ignore_errors=True)
    files = [folder / f"2-{index}.pickle" for index in range(2)]
    check_results([pickle.loads(file.read_bytes()) for file in files], alone)


def ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
