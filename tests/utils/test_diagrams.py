"""Pictures of models: what they show, where boxes lie, files of every kind."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import carnyx as keras
from carnyx.utils.diagrams import plot
from carnyx.utils.diagrams.boxes import Box, Diagram, Shown, diagram_of
from carnyx.utils.diagrams.layout import picture_of

L = keras.layers


def network():
    block = keras.Sequential([keras.Input((6,)), L.Dense(6, "relu")], name="block")
    inputs = keras.Input((6,), name="image")
    x = L.Add(name="sum")([inputs, block(inputs)])
    x = L.Bidirectional(L.LSTM(2), name="both")(L.Reshape((2, 3), name="fold")(x))
    return keras.Model(inputs, [L.Dense(3, name="out")(x), x * 2], name="net")


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def no_graphviz(monkeypatch):
    monkeypatch.setattr(plot.shutil, "which", lambda name: None)


def texts(file):
    return [e.text for e in ET.parse(file).iter() if e.tag.endswith("}text")]


def test_connections_are_those_of_the_graph(model):
    diagram = diagram_of(model, Shown())
    arrows = {(a.key, b.key) for a, b in diagram.arrows}
    assert ("image", "sum") in arrows and ("block", "sum") in arrows
    assert ("image", "block") in arrows and ("both", "out") in arrows
    titles = {box.title for box in diagram.boxes}
    assert {"both (Bidirectional(LSTM))", "block (Sequential)"} <= titles


@pytest.mark.parametrize("options, there, gone", [
    ({}, ["Dense", "Sequential"], ["out (Dense)"]),
    ({"show_layer_names": True}, ["out (Dense)", "block (Sequential)"], ["Dense"]),
    ({"show_shapes": True}, ["Input: (None, 6), (None, 6)", "Output: (None, 3)"], []),
    ({"show_dtype": True}, ["dtype: float32"], []),
    ({"show_layer_activations": True}, ["Activation: linear"], ["Activation: relu"]),
    ({"expand_nested": True, "show_layer_activations": True}, ["Activation: relu"], []),
    ({"show_trainable": True}, ["Trainable"], ["Non-trainable"]),
])  # fmt: skip
def test_what_is_asked_for_is_shown(model, options, there, gone, tmp_path, no_graphviz):
    keras.utils.plot_model(model, tmp_path / "m.svg", **options)
    found = texts(tmp_path / "m.svg")
    assert set(there) <= set(found) and not set(gone) & set(found)
    dot = keras.utils.model_to_dot(model, **{"show_layer_names": False, **options})
    assert all(text in dot.to_string() for text in there)


@pytest.mark.parametrize("suffix, begins", [
    (".png", b"\x89PNG"), ("", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<svg"),
    (".dot", b"digraph"),
])  # fmt: skip
def test_files_of_every_kind_without_graphviz(
    model, suffix, begins, tmp_path, no_graphviz
):
    path = tmp_path / f"model{suffix}"
    keras.utils.plot_model(model, path, show_shapes=True, dpi=40, rankdir="LR")
    assert path.read_bytes().startswith(begins)


def test_graphviz_draws_where_it_is_installed(model, tmp_path, monkeypatch):
    tool = tmp_path / "dot"
    tool.write_text('#!/bin/sh\necho "drawn $1"; cat >/dev/null\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    keras.utils.plot_model(model, tmp_path / "m.png")
    assert (tmp_path / "m.png").read_text() == "drawn -Tpng\n"
    assert keras.utils.model_to_dot(model).create(format="svg") == b"drawn -Tsvg\n"
    tool.write_text('#!/bin/sh\necho "no such format" >&2; exit 1\n')
    with pytest.raises(OSError, match="no such format"):
        keras.utils.model_to_dot(model).create(format="xyz")


def test_arrows_to_a_nested_model_end_at_its_frame(model):
    text = keras.utils.model_to_dot(model, expand_nested=True).to_string()
    assert 'subgraph "cluster_block"' in text
    assert 'lhead="cluster_block"' in text and 'ltail="cluster_block"' in text
    assert (
        keras.utils.model_to_dot(model, subgraph=True)
        .to_string()
        .startswith("subgraph")
    )


class Coded(keras.Model):
    def __init__(self):
        super().__init__(name="coded")
        self.first, self.second = L.Dense(3, name="first"), L.Dense(2, name="second")

    def call(self, x):
        return self.second(self.first(x))


def test_a_model_whose_call_is_code_is_one_box_or_its_layers():
    model = Coded()
    with pytest.raises(ValueError, match="'coded' has not yet been built"):
        keras.utils.model_to_dot(model)
    model.build((None, 4))
    assert [b.key for b in diagram_of(model, Shown()).boxes] == ["coded"]
    expanded = diagram_of(model, Shown(nested=True))
    assert [b.key for b in expanded.boxes] == ["first", "second"]


@pytest.mark.parametrize("options, words", [
    ({"rankdir": "up"}, "rankdir got 'up'"), ({"splines": "x"}, "splines got 'x'"),
    ({"layer_range": (1, 2)}, "keras.Model"), ({"shapes": True}, "'shapes'"),
    ({"rankdir": "BT"}, "needs Graphviz"),
])  # fmt: skip
def test_wrong_arguments_are_refused(model, options, words, tmp_path, no_graphviz):
    with pytest.raises(ValueError, match=words):
        keras.utils.plot_model(model, tmp_path / "m.svg", **options)
    assert not (tmp_path / "m.svg").exists()


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 9), sideways=st.booleans(),
    arrows=st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=14),
)  # fmt: skip
def test_boxes_do_not_overlap_and_arrows_go_forward(count, sideways, arrows):
    boxes = [Box(str(i), "x" * (3 * i + 1), ["cell"] * (i % 3)) for i in range(count)]
    pairs = [(boxes[a], boxes[b]) for a, b in arrows if a < b < count]
    picture = picture_of(Diagram(boxes, pairs), sideways)
    at = {place.box: place for place in picture.places}
    for i, a in enumerate(picture.places):
        assert 0 <= a.x <= a.x + a.width <= picture.width + 1e-6
        assert 0 <= a.y <= a.y + a.height <= picture.height + 1e-6
        for b in picture.places[:i]:
            apart_x = a.x + a.width <= b.x or b.x + b.width <= a.x
            apart_y = a.y + a.height <= b.y or b.y + b.height <= a.y
            assert apart_x or apart_y
    axis = 0 if sideways else 1
    for (a, b), line in zip(pairs, picture.arrows, strict=True):
        assert at[a].rank < at[b].rank
        along = [point[axis] for point in line]
        assert along == sorted(along)
