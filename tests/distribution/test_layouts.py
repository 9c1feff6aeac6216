"""Meshes, layouts, layout maps as Keras has them, on this process's one device."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx.distribution.auto_layout import split_axis

distribution = keras.distribution
MESH = distribution.DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"])
ONES = np.ones(2, "float32")


@pytest.mark.parametrize(
    "name", "DataParallel DeviceMesh LayoutMap ModelParallel TensorLayout "
    "distribute_tensor distribution get_device_count initialize list_devices "
    "set_distribution".split()
)  # fmt: skip
def test_names_and_signatures_of_keras(name: str, keras_oracle: Any) -> None:
    ours, theirs = (getattr(k.distribution, name) for k in (keras, keras_oracle))
    names, expected = (list(inspect.signature(f).parameters) for f in (ours, theirs))
    assert set(expected) - {"kwargs"} <= set(names)
    if name != "ModelParallel":  # keyword-only there, but for our "auto"
        assert names[: len(expected)] == expected
    if inspect.isclass(theirs):
        members = {m for m in dir(theirs) if not m.startswith("_")}
        made = MADE[name]() if name in MADE else None
        members -= {"distribute_dataset", "distribute_tf_dataset"}  # batches are split
        assert {m for m in members if not hasattr(made, m)} == set()


def _layout_map() -> Any:
    layouts = distribution.LayoutMap(MESH)
    layouts["dense.*kernel"] = (None, "model")
    layouts["dense_1/bias"] = ("model",)
    layouts["dense_1/.*"] = (None,)
    return layouts


MADE = {
    "DataParallel": lambda: distribution.DataParallel(devices=["cpu:0"]),
    "DeviceMesh": lambda: MESH,
    "LayoutMap": _layout_map,
    "ModelParallel": lambda: distribution.ModelParallel(layout_map=_layout_map()),
    "TensorLayout": lambda: distribution.TensorLayout(("batch", None), MESH),
}


def test_layout_maps() -> None:
    layouts = _layout_map()
    assert layouts["dense/kernel"].axes == (None, "model")
    assert layouts["dense/kernel"].device_mesh is MESH
    assert layouts["dense_1/bias"].axes == ("model",)  # exactly, before any pattern
    assert layouts["conv/kernel"] is None and layouts.get("dense/bias") is None
    with pytest.raises(ValueError, match="matches several keys"):
        layouts["dense_1/kernel"]
    with pytest.raises(ValueError, match="already"):
        layouts["dense.*kernel"] = ("model",)
    with pytest.raises(ValueError, match="expected a TensorLayout"):
        layouts["conv"] = "model"
    with pytest.raises(ValueError, match="no regular expression: missing \\)"):
        layouts["(dense"] = (None,)
    with pytest.raises(ValueError, match="got the key 3; expected a path"):
        layouts[3] = (None,)
    del layouts["dense_1/.*"]
    assert list(layouts) == ["dense.*kernel", "dense_1/bias"] and len(layouts) == 2
    assert layouts["dense_1/kernel"].axes == (None, "model")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: distribution.DeviceMesh((2,), ("a", "b")), "a name for each axis"),
        (lambda: distribution.DeviceMesh((), ()), "one axis at least"),
        (lambda: distribution.DeviceMesh((2,), ("a",), ["cpu:0"]), "has 2 places"),
        (lambda: distribution.DeviceMesh(8, ("a",)), "length of each axis"),
        (lambda: distribution.DeviceMesh((1.0,), ("a",)), "length of each axis"),
        (lambda: distribution.DeviceMesh((0,), ("a",), []), "length of each axis"),
        (lambda: distribution.DeviceMesh((1,), "a"), "list with a name"),
        (lambda: distribution.DeviceMesh((1,), (3,)), "list with a name"),
        (lambda: distribution.DeviceMesh((1, 1), ("a", "a")), "different names"),
        (lambda: distribution.DeviceMesh((1,), ("a",), [0]), "names of devices"),
        (lambda: distribution.DeviceMesh((1,), ("a",), 0), "names of devices"),
        (
            lambda: distribution.DeviceMesh((2,), ("a",), ["cpu", "/device:CPU:0"]),
            "with cpu:0 2 times",
        ),
        (
            lambda: distribution.DataParallel(devices=[]),
            r"DataParallel got devices=\[\]",
        ),
        (
            lambda: distribution.DataParallel(devices=1),
            r"devices=\[1\]; expected names",
        ),
        (lambda: distribution.TensorLayout("model"), "or None, for each axis"),
        (lambda: distribution.TensorLayout(None), "or None, for each axis"),
        (lambda: distribution.TensorLayout((0,)), "or None, for each axis"),
        (lambda: distribution.TensorLayout(("a", "a")), "can split one axis"),
        (lambda: distribution.TensorLayout(("a",), "mesh"), "expected a DeviceMesh"),
        (lambda: distribution.distribute_tensor(ONES, "x"), "expected a TensorLayout"),
        (lambda: distribution.distribute_tensor(ONES, None), "expected a TensorLayout"),
        (
            lambda: distribution.distribute_tensor(
                ONES, distribution.TensorLayout((None, "model"), MESH)
            ),
            "'model' is for axis 1, and there are 1 axes",
        ),
        (lambda: distribution.TensorLayout(("x",), MESH), "got the axis 'x'"),
        (lambda: distribution.TensorLayout(("x",)).backend_layout, "no device mesh"),
        (lambda: distribution.DataParallel(MESH), "expected one axis"),
        (lambda: distribution.DataParallel(MESH, ["cpu:0"]), "give one of them"),
        (lambda: distribution.DataParallel(3), "expected a DeviceMesh"),
        (lambda: distribution.ModelParallel(), "expected a LayoutMap"),
        (lambda: distribution.ModelParallel("auto", model=7), "a divisor of the 1"),
        (
            lambda: distribution.ModelParallel(layout_map=distribution.LayoutMap(None)),
            "without a mesh",
        ),
        (
            lambda: distribution.ModelParallel(
                layout_map=_layout_map(), batch_dim_name="rows"
            ),
            "the mesh has",
        ),
        (lambda: distribution.ModelParallel("auto", model=1.0), "a divisor of the 1"),
        (lambda: distribution.ModelParallel("auto", model=True), "a divisor of the 1"),
        (
            lambda: distribution.ModelParallel("auto", model=2, device_mesh=MESH),
            "got model=2 and .*leave model out",
        ),
        (
            lambda: distribution.ModelParallel(_layout_map(), model=4),
            "got model=4 and .*leave model out",
        ),
        (
            lambda: distribution.ModelParallel(
                _layout_map(),
                device_mesh=distribution.DeviceMesh((1,), ("all",), "cpu:0"),
            ),
            "give the LayoutMap alone",
        ),
        (
            lambda: distribution.ModelParallel("auto", device_mesh=8),
            "expected a DeviceMesh",
        ),
        (lambda: distribution.LayoutMap("cpu:0"), "expected a DeviceMesh"),
        (lambda: distribution.set_distribution("all"), "expected a DataParallel"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_devices_that_are_not_there() -> None:
    mesh = distribution.DeviceMesh((2,), ("a",), ["cpu:0", "cpu:71"])
    with pytest.raises(RuntimeError, match="'cpu:71' is not there.*has cpu:0"):
        mesh.backend_mesh  # noqa: B018
    with pytest.raises(RuntimeError, match="this machine has cpu:0"):
        distribution.list_devices("gpu")
    with pytest.raises(keras.errors.DeviceError, match='"cpu", "gpu" or "tpu"'):
        distribution.list_devices(3)


def test_one_device_needs_no_list() -> None:
    alone = distribution.DataParallel(devices="cpu:0")
    assert alone.device_mesh == distribution.DeviceMesh((1,), ("batch",), ["CPU:0"])
    assert alone.device_mesh != MESH
    mesh = distribution.DeviceMesh((np.int64(1),), ["a"], "/device:CPU:0")
    assert mesh.backend_mesh.devices.size == 1


def test_layouts_of_a_distribution() -> None:
    both = distribution.ModelParallel(layout_map=_layout_map())
    data = distribution.DataParallel(devices=["cpu:0"])
    w = keras.Variable(np.zeros((2, 3)), name="dense_kernel")
    own = keras.Variable(
        np.zeros(4), layout=distribution.TensorLayout(("model",), MESH)
    )
    assert both.get_data_layout((8, 3, 2)).axes == ("batch", None, None)
    assert both.get_variable_layout(w).axes == (None, "model")
    assert both.sharding_of(own).spec == own.layout.backend_layout.spec
    assert data.get_variable_layout(w).axes == (None, None)
    assert data.get_tensor_layout("dense/output") is None
    assert both.num_model_replicas == data.num_model_replicas == 1
    assert both.num_processes == 1 and both.data_shard_id == 0


def test_arguments_that_agree() -> None:
    same = distribution.DeviceMesh((1, 1), ("batch", "model"), ["/cpu:0"])
    for options in ({"model": 1}, {"device_mesh": same}):
        both = distribution.ModelParallel(layout_map=_layout_map(), **options)
        assert both.device_mesh is MESH
    layouts = distribution.LayoutMap()
    layouts["w"] = ("model", None)
    late = distribution.ModelParallel(layouts, device_mesh=MESH)
    w = keras.Variable(np.zeros((2, 3)), name="w")
    assert late.get_variable_layout(w).device_mesh is MESH
    assert distribution.ModelParallel("auto", model=1, device_mesh=MESH).shards == 1


def test_a_layout_of_too_many_axes() -> None:
    layouts = distribution.LayoutMap(MESH)
    layouts["b.*"] = (None, "model")
    both = distribution.ModelParallel(layouts)
    b = keras.Variable(np.zeros(3), name="bias")
    with pytest.raises(
        ValueError, match=r"'bias' of shape \(3,\) .*for 'b\.\*'.*axis 1"
    ):
        both.get_variable_layout(b)


def test_scopes_nest_and_end() -> None:
    first = distribution.DataParallel(devices=["cpu:0"])
    second = distribution.DataParallel(devices=["cpu:0"])
    with first.scope():
        with pytest.raises(KeyError), second.scope():
            assert distribution.distribution() is second
            raise KeyError
        assert distribution.distribution() is first
    assert distribution.distribution() is None


def test_a_symbolic_tensor_has_no_layout() -> None:
    x = keras.Input((3,))
    layout = distribution.TensorLayout(("batch", None), MESH)
    assert distribution.distribute_tensor(x, layout) is x


# ---- automatic layouts


@pytest.fixture(scope="module")
def of_all_kinds() -> dict[str, Any]:
    """Variables by the name of their layer, which says nothing of what it is."""
    layers = keras.layers
    ids = keras.Input((6,), dtype="int32")
    x = layers.Embedding(8, 4, name="output")(ids)
    x = x + layers.MultiHeadAttention(2, 2, name="a_output")(x, x)
    for name, units in (("wide", 16), ("narrow", 4), ("same", 4)):
        x = layers.Dense(units, name=name)(x)
    outputs = layers.Conv1D(4, 3, name="conv")(x)
    heads = layers.EinsumDense("abc,cde->abde", (6, 2, 2), name="heads_output")(x)
    merged = layers.EinsumDense("abde,dec->abc", (6, 4), name="merged")(heads)
    odd = layers.Dense(5, name="odd")(merged)
    model = keras.Model(ids, [outputs, odd])
    return {v.path: v for v in model.variables}


EXPECTED = {
    "output/embeddings": 0,
    "a_output/query/kernel": 1,
    "a_output/attention_output/kernel": 0,
    "wide/kernel": 1,
    "narrow/kernel": 0,
    "same/kernel": 1,
    "conv/kernel": 2,
    "heads_output/kernel": 1,
    "merged/kernel": 0,
    "odd/kernel": 0,  # 5 columns cannot be halved
    "wide/bias": None,
}


@pytest.mark.parametrize("seed", range(4))
def test_automatic_layouts_depend_on_no_order_and_no_name(
    of_all_kinds: dict[str, Any], seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(list(EXPECTED)).tolist()
    found = {path: split_axis(of_all_kinds[path], 2) for path in order}
    assert found == EXPECTED
