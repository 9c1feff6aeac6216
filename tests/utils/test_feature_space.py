"""`FeatureSpace`: features by name, made ready and encoded."""

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers
from carnyx._data import Dataset

FeatureSpace = keras.utils.FeatureSpace
KINDS = {
    "float_1": "float", "float_2": "float_normalized", "float_3": "float_discretized",
    "string_1": "string_categorical", "string_2": "string_hashed",
    "int_1": "integer_categorical", "int_2": "integer_hashed",
}  # fmt: skip
CROSSES = [("float_3", "string_1"), ("string_2", "int_2")]
COLUMN = {
    "float": [k / 10 for k in range(10)],
    "int": list(range(10)),
    "string": [str(k) for k in range(10)],
}
DATA = {name: COLUMN[name.partition("_")[0]] for name in KINDS}
SIZE = 1 + 1 + 32 + 11 + 32 + 11 + 32 + 2 * 32


def space(**options):
    return FeatureSpace(KINDS, crosses=CROSSES, **options)


def samples():
    return ({name: column[i] for name, column in DATA.items()} for i in range(10))


@pytest.mark.parametrize(
    "source",
    [
        lambda: DATA,
        samples,
        lambda: Dataset(10, lambda i: {n: c[i] for n, c in DATA.items()}),
        lambda: Dataset(10, lambda i: {n: c[i] for n, c in DATA.items()}).batch(4),
    ],
    ids=["dict", "samples", "Dataset", "batches"],
)
def test_one_array(source):
    features = space()
    features.adapt(source())
    out = np.asarray(features(DATA))
    assert out.shape == (10, SIZE)
    np.testing.assert_allclose(out[:, 0], DATA["float_1"])
    assert out[:, 1].mean() == pytest.approx(0, abs=1e-6)
    assert (out[:, 2:].sum(1) == 7).all()  # one of each that is encoded
    one = features({name: column[3] for name, column in DATA.items()})
    np.testing.assert_allclose(one, out[3])


def test_a_dict():
    features = space(output_mode="dict")
    features.adapt(DATA)
    out = features(DATA)
    assert set(out) == {*KINDS, "float_3_X_string_1", "string_2_X_int_2"}
    assert out["string_1"].shape == (10, 11) and out["int_2"].shape == (10, 32)
    assert features(next(samples()))["string_2_X_int_2"].shape == (32,)


def test_integers():
    cls = FeatureSpace
    features = FeatureSpace(
        {
            "string_1": cls.string_categorical(output_mode="int"),
            "int_2": cls.integer_hashed(num_bins=32, output_mode="int"),
        },
        crosses=[cls.cross(("string_1", "int_2"), 8, output_mode="int")],
        output_mode="dict",
    )
    features.adapt(DATA)
    for value in features(DATA).values():
        assert value.shape == (10, 1) and value.dtype == "int32"


def test_a_layer_of_ones_own_and_numbers_rescaled():
    words = layers.TextVectorization(output_mode="tf_idf")
    features = FeatureSpace(
        {
            "text": FeatureSpace.feature("string", words, "float"),
            "size": FeatureSpace.float_rescaled(scale=2.0, offset=1.0),
            "age": FeatureSpace.float_discretized(3, name="age"),
        }
    )
    data = {"text": ["a b", "b c"], "size": [1.0, 2.0], "age": [3.0, 4.0]}
    features.adapt(data)
    out = np.asarray(features(data))
    np.testing.assert_allclose(out[:, 3], [3.0, 5.0])  # by name: age, size, text
    np.testing.assert_allclose(out[:, 4:], words(data["text"]), rtol=1e-6)
    assert features.preprocessors["text"] is words


def test_in_a_model_and_in_files(tmp_path):
    features = space()
    features.adapt(DATA)
    outputs = layers.Dense(1)(features.get_encoded_features())
    model = keras.Model(features.get_inputs(), outputs)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    arrays = {name: np.array(column) for name, column in DATA.items()}
    losses = model.fit(arrays, np.ones(10), epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    predicted = model.predict(arrays, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(arrays, verbose=0), predicted, rtol=1e-6)
    features.save(tmp_path / "space.keras")
    loaded = keras.models.load_model(tmp_path / "space.keras")
    np.testing.assert_allclose(loaded(DATA), features(DATA), rtol=1e-6)
    batches = Dataset(10, lambda i: {n: c[i] for n, c in DATA.items()}).batch(5)
    (first, _) = batches.map(features)
    assert isinstance(first, np.ndarray)
    np.testing.assert_allclose(first, np.asarray(features(DATA))[:5], rtol=1e-6)


def test_what_needs_no_data_is_ready():
    features = FeatureSpace({"a": "float", "b": "integer_hashed"})
    assert features({"a": [1.0], "b": [3]}).shape == (1, 33)


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda: FeatureSpace({}), "a dict from names to kinds"),
        (lambda: FeatureSpace({"a": "flat"}), "expected one of float, float_rescaled"),
        (lambda: FeatureSpace({"a": "float"}, "list"), "expected 'concat' or 'dict'"),
        (lambda: space(crossing_dim=0), "crossing_dim=0"),
        (lambda: FeatureSpace({"a": "float"}, crosses=[("a", "b")]), "cross of .'b'"),
        (lambda: space()(DATA), "has not learned"),
        (lambda: space().get_encoded_features(), "has not learned"),
        (lambda: space().adapt(3), "expected a dict of arrays"),
        (lambda: space().adapt([1, 2]), "a dataset of int"),
        (lambda: FeatureSpace({"a": "float"})([1.0]), "got list; expected a dict"),
        (
            lambda: FeatureSpace(
                {"a": FeatureSpace.integer_hashed(4, output_mode="int")}
            )({"a": [1]}),
            "cannot be put together",
        ),
        (
            lambda: FeatureSpace(
                {"a": FeatureSpace.feature("float32", layers.Identity(), "one_hot")}
            )({"a": [1.0]}),
            "expected integers",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(use, words):
    with pytest.raises(ValueError, match=words):
        use()
