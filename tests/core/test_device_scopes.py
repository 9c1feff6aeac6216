"""Device scopes where there is one device, and the cutting of graphs into stages."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import carnyx as keras
from carnyx._training.stages.partition import devices_of, parts_of

layers: Any = keras.layers
X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def placed() -> Any:
    inputs = keras.Input((4,))
    with keras.device("cpu:0"):
        hidden = keras.ops.relu(layers.Dense(3)(inputs))
    inner = keras.Sequential([keras.Input((3,))])
    with keras.device("/device:CPU:0"):
        inner.add(layers.Dense(2))
    return keras.Model(inputs, inner(hidden))


def moved(file: Path, to: str) -> Path:
    """A copy of a `.keras` file whose layers were placed on another device."""
    copy = file.with_name("moved.keras")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                assert content.count(b'"device": "cpu:0"') == 3
                content = content.replace(b'"cpu:0"', json.dumps(to).encode())
            new.writestr(name, content)
    return copy


def test_a_file_says_where_layers_were_and_keras_reads_it(
    tmp_path: Path, keras_oracle: Any
) -> None:
    model = placed()
    expected = model.predict(X, verbose=0)
    for suffix in (".keras", ".h5"):
        file = tmp_path / f"model{suffix}"
        model.save(file)
        theirs = keras_oracle.models.load_model(file)
        np.testing.assert_allclose(theirs.predict(X, verbose=0), expected, rtol=1e-5)
        ours = keras.models.load_model(file, devices="strict")
        assert ours.get_config() == model.get_config()
        np.testing.assert_array_equal(ours.predict(X, verbose=0), expected)


def test_devices_that_are_not_there_are_ignored_with_one_line(tmp_path: Path) -> None:
    model = placed()
    model.save(tmp_path / "model.keras")
    file = moved(tmp_path / "model.keras", "gpu:7")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = keras.models.load_model(file)
    (warning,) = caught
    assert "on gpu:7 is ignored: this machine has cpu:0" in str(warning.message)
    assert warning.filename == __file__
    np.testing.assert_array_equal(
        loaded.predict(X, verbose=0), model.predict(X, verbose=0)
    )
    assert loaded.placement().layers[1].computed_on == ["cpu:0"]
    with pytest.raises(keras.errors.DeviceError, match="gpu:7.*this machine has cpu:0"):
        keras.models.load_model(file, devices="strict")
    with pytest.raises(ValueError, match="expected 'strict' or None"):
        keras.models.load_model(file, devices="loose")


def named(config: dict[str, Any]) -> list[str]:
    """The devices that a config names for the calls of the graph."""
    calls = [call for record in config["layers"] for call in record["inbound_nodes"]]
    return [call["device"] for call in calls if "device" in call]


def test_the_next_file_names_devices_that_were_not_there(tmp_path: Path) -> None:
    placed().save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="gpu:7 is ignored"):
        loaded = keras.models.load_model(moved(tmp_path / "model.keras", "gpu:7"))
    loaded.predict(X, verbose=0)
    copy = keras.models.clone_model(loaded)
    part = keras.Model(loaded.inputs, loaded.outputs)
    for model in (loaded, copy, part):
        assert named(model.get_config()) == ["gpu:7"] * 2
    loaded.save(tmp_path / "again.keras")
    with pytest.raises(keras.errors.DeviceError, match="gpu:7"):
        keras.models.load_model(tmp_path / "again.keras", devices="strict")
    with keras.device("cpu:0"), pytest.warns(UserWarning, match="gpu:7 is ignored"):
        anew = keras.models.load_model(tmp_path / "again.keras")
    assert set(named(anew.get_config())) == {"cpu:0"}


def test_so_does_that_of_a_stack_of_layers() -> None:
    model = keras.Sequential([keras.Input((4,))])
    with keras.device("cpu:0"):
        model.add(layers.Dense(2))
    config = json.loads(json.dumps(model.get_config()).replace("cpu:0", "gpu:7"))
    with pytest.warns(UserWarning, match="gpu:7 is ignored"):
        loaded = keras.Sequential.from_config(config)
    copy = keras.models.clone_model(loaded)  # of which nothing needs to be said again
    for one in (loaded, copy):
        assert one.get_config()["layers"][-1]["device"] == "gpu:7"


def test_a_name_that_is_no_device() -> None:
    for name in ("gpu:0", "/device:TPU:3", "cpu:99", "nothing", "cpu:\u00b2", "cpu:-1"):
        with pytest.raises(keras.errors.DeviceError, match="this machine has cpu:0"):
            with keras.device(name):
                pass


def test_a_scope_may_be_entered_again_and_within_itself() -> None:
    scope = keras.device("cpu:0")
    inputs = keras.Input((2,))
    for _ in range(2):
        with scope as outer, scope as cpu:
            assert outer is cpu and cpu.platform == "cpu"
            inside = layers.Identity()(inputs)
        outside = layers.Identity()(inputs)
        found = devices_of(keras.Model(inputs, [inside, outside])._graph.nodes, None)
        assert found[inside.node] is cpu and found[outside.node] is None

    @keras.device("cpu:0")
    def made() -> Any:
        return layers.Identity()(inputs)

    with pytest.raises(KeyError), scope:
        raise KeyError
    tensors = [made(), made(), layers.Identity()(inputs)]
    found = devices_of(keras.Model(inputs, tensors)._graph.nodes, None)
    assert [found[t.node] for t in tensors] == [cpu, cpu, None]


# ---- cutting ---------------------------------------------------------------------


@st.composite
def graphs(draw: Any) -> tuple[Any, dict[Any, str]]:
    """A model of layers that take one or two of those before, and their devices."""
    inputs = keras.Input((2,))
    tensors = [inputs]
    devices: dict[Any, str] = {}
    for _ in range(draw(st.integers(1, 12))):
        chosen = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=2))
        merge = len({id(t) for t in chosen}) == 2
        out = layers.Add()(chosen) if merge else layers.Identity()(chosen[0])
        devices[out.node] = draw(st.sampled_from("abc"))
        tensors.append(out)
    ends = draw(st.lists(st.sampled_from(tensors[1:]), min_size=1, max_size=2))
    return keras.Model(inputs, ends), devices


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_stages_are_of_one_device_whole_and_in_order(case: Any) -> None:
    model, devices = case
    graph = model._graph
    parts = parts_of(graph, devices.__getitem__)
    nodes = [n for part in parts for n in part.nodes]
    assert {id(n) for n in nodes} == {id(n) for n in graph.nodes if not n.is_input}
    assert len(nodes) == len(graph.nodes) - 1
    known = {id(t) for t in graph.inputs}
    for part in parts:
        assert {devices[n] for n in part.nodes} == {part.device}
        assert {id(t) for t in part.inputs} <= known
        known |= {id(t) for t in part.outputs}
    assert {id(t) for t in graph.outputs} <= known
    # as large as can be: no two neighbours on a device could have been one
    for a, b in zip(parts, parts[1:], strict=False):
        made = {id(t) for t in a.outputs}
        only_after = {id(t) for t in b.inputs} <= made | {id(t) for t in a.inputs}
        alone = {id(t) for p in parts if p is not b for t in p.inputs}
        alone |= {id(t) for t in graph.outputs}
        assert not (a.device == b.device and only_after and not made & alone)


def test_what_another_device_waits_for_is_a_stage_of_its_own() -> None:
    inputs = keras.Input((2,))
    stem = layers.Dense(2, name="stem")(inputs)
    here = layers.Dense(2, name="here")(stem)
    there = layers.Dense(2, name="there")(stem)
    merged = layers.Add(name="merged")([here, there])
    model = keras.Model(inputs, merged)
    devices = {stem.node: "a", here.node: "a", there.node: "b", merged.node: "a"}
    parts = parts_of(model._graph, devices.__getitem__)
    names = [(p.device, [n.operation.name for n in p.nodes]) for p in parts]
    assert names == [
        ("a", ["stem"]),
        ("a", ["here"]),
        ("b", ["there"]),
        ("a", ["merged"]),
    ]


def test_layers_outside_of_scopes_go_with_what_is_before_else_after() -> None:
    inputs = keras.Input((2,))
    before = layers.Identity()(inputs)
    with keras.device("cpu:0") as cpu:
        placed = layers.Identity()(before)
    after = layers.Identity()(placed)
    alone = layers.Identity()(inputs)
    model = keras.Model(inputs, [after, alone])
    devices = devices_of(model._graph.nodes, "default")
    found = [devices[t.node] for t in (before, placed, after, alone)]
    assert found == [cpu, cpu, cpu, "default"]


def test_a_scope_inside_a_program_says_that_it_places_nothing() -> None:
    class Scoped(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = keras.layers.Dense(4), keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            with keras.device("cpu:0"):
                x = self.first(x)
            with keras.device("cpu:0"):
                return self.second(x)

    x = np.ones((8, 3), "float32")
    model = Scoped()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(x)
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="device.'cpu:0'. is entered inside a program"):
        model.fit(x, x[:, :1], verbose=0)
