"""`docs/architecture.md` is true: a training is run, and compared with the page."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx._data import adapt
from carnyx._training import protocols
from tests.floors.test_imports import FLOORS

PACKAGE = Path(keras.__file__).parent
ROOT = PACKAGE.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACE = re.compile(r"`([\w/]+\.py):([\w.]+)`")
PROTOCOLS = ("Program", "BatchSource", "Trainable")


def rows(title: str) -> list[list[str]]:
    """The cells of the table whose header begins so."""
    _, after = PAGE.split(f"\n| {title} |")
    lines = after.splitlines()[2:]
    table = lines[: next(i for i, line in enumerate(lines) if not line.strip())]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def stations(title: str) -> list[str]:
    return [f"{PACKAGE / file}:{name}" for [(file, name)] in map(_places, rows(title))]


def _places(row: list[str]) -> list[Any]:
    return PLACE.findall(row[0])


def found(file: str, name: str) -> Any:
    module = importlib.import_module("carnyx." + file[:-3].replace("/", "."))
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part)
    return value


@cache
def calls_of_two_trainings() -> tuple[list[str], list[str]]:
    """The package's functions in the order of their calls: first `fit`, second."""
    layers = [keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "mse", metrics=["mae"])
    x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")

    def recorded() -> list[str]:
        calls: list[str] = []

        def note(frame: Any, event: str, _: Any) -> None:
            code = frame.f_code
            if event == "call" and code.co_filename.startswith(str(PACKAGE)):
                calls.append(f"{code.co_filename}:{code.co_qualname}")

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            model.fit(x, y, batch_size=2, verbose=0)
        finally:
            sys.setprofile(before)
        return calls

    return recorded(), recorded()


def first_missing(wanted: list[str], calls: list[str]) -> str | None:
    """The first of them that is not called after those before it."""
    left = iter(calls)
    return next((name for name in wanted if name not in left), None)


THERE, INSIDE, BACK = "On the way there", "Inside the trace", "On the way back"


def test_a_batch_passes_the_stations_of_the_page_in_their_order() -> None:
    first, _ = calls_of_two_trainings()
    wanted = [name for title in (THERE, INSIDE, BACK) for name in stations(title)]
    assert len(wanted) > 25
    assert first_missing(wanted, first) is None
    assert first_missing(wanted[::-1], first) is not None


def test_a_warm_program_passes_by_the_stations_of_the_trace() -> None:
    _, second = calls_of_two_trainings()
    assert first_missing([*stations(THERE), *stations(BACK)], second) is None
    assert not set(stations(INSIDE)) & set(second)


@pytest.mark.parametrize("file, name", sorted(set(PLACE.findall(PAGE))))
def test_every_file_and_function_of_the_page_exists(file: str, name: str) -> None:
    assert (PACKAGE / file).is_file()
    assert found(file, name) is not None


def test_files_of_the_page_exist() -> None:
    for path in re.findall(r"`([\w/]+/[\w]+\.py)`", PAGE):
        assert (PACKAGE / path).is_file() or (ROOT / path).is_file(), path


# ---- the floors


def floors_of(cells: list[str]) -> list[list[str]]:
    """The names in cells such as "`ops/`, `random/`"."""
    return [re.findall(r"`(\w+)/?`", cell) for cell in cells]


def test_the_floors_of_the_page_are_those_of_the_imports() -> None:
    helpers = {n for n in FLOORS[0].split() if n.startswith("_")}
    expected = [set(row.split()) - helpers for row in FLOORS]
    shown = floors_of([row[0] for row in rows("Folders and files")])
    assert [set(row) for row in shown] == expected


def test_the_floors_of_contributing_are_in_the_same_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| \d \| (.*) \|$", text, re.MULTILINE)
    heights = {name: i for i, row in enumerate(FLOORS) for name in row.split()}
    shown = [heights[name] for row in floors_of(table) for name in row]
    assert len(shown) > 25 and shown == sorted(shown)


# ---- the protocols


def members(protocol: type) -> set[str]:
    """What a class has to have to be one."""
    kinds = types.FunctionType, property
    own = {n for n, v in vars(protocol).items() if isinstance(v, kinds)}
    own |= set(inspect.get_annotations(protocol))
    return {n for n in own if n == "__call__" or not n.startswith("__")}


@pytest.mark.parametrize("name, asked, written", rows("Protocol"))
def test_protocols_have_what_the_page_names(
    name: str, asked: str, written: str
) -> None:
    protocol = getattr(protocols, name.strip("`"))
    assert set(re.findall(r"`(\w+)`", asked)) <= members(protocol)
    for file, implementer in PLACE.findall(written):
        _implements(found(file, implementer), protocol)


def test_all_protocols_are_on_the_page() -> None:
    own = [n for n, v in vars(protocols).items() if getattr(v, "_is_protocol", False)]
    own = [n for n in own if getattr(protocols, n).__module__ == protocols.__name__]
    assert {row[0].strip("`") for row in rows("Protocol")} == set(own)


def _implements(implementer: type, protocol: type) -> None:
    """It has the protocol's methods, with its parameters."""
    for name in members(protocol):
        asked = getattr(protocol, name, None)
        if not inspect.isfunction(asked):
            continue  # an attribute, which an instance has
        given = getattr(implementer, name)
        want = list(inspect.signature(asked).parameters.values())
        got = list(inspect.signature(given).parameters.values())
        assert len(got) >= len(want), (implementer, name)
        for ours, theirs in zip(want[1:], got[1:]):
            assert ours.name == theirs.name, (implementer, name)
        more = got[len(want) :]
        assert all(p.default is not p.empty for p in more), (implementer, name)


def test_a_program_a_feed_and_a_model_have_the_attributes_of_their_protocols() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 4), "float32"), np.ones((4, 1), "float32")
    model.train_on_batch(x, y)
    made = model.train_program(), adapt(x, y, None, batch_size=2), model
    for instance, name in zip(made, PROTOCOLS, strict=True):
        asked = members(getattr(protocols, name))
        assert {n for n in asked if not hasattr(instance, n)} == set()
