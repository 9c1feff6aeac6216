"""Datasets of directories, series and splits; images as Keras reads and writes them."""

import io

import numpy as np
import pytest

import carnyx
from carnyx.errors import ArgumentError, DataError
from carnyx.utils import images

RNG = np.random.default_rng(0)
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    for name in ("bird", "ant", ".hidden"):
        (root / name / "more").mkdir(parents=True)
        for i in range(5):
            pixels = RNG.integers(0, 255, (13 + i, 17 - i, 3), dtype="uint8")
            Image.fromarray(pixels).save(root / name / f"{i}.png")
            (root / name / "more" / f"{i}.txt").write_text(f"{name} {i}", "utf-8")
    return root


# ---- images


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"color_mode": "grayscale"},
        {"color_mode": "rgba"},
        {"target_size": (8, 9)},
        {"target_size": (8, 9), "interpolation": "lanczos", "keep_aspect_ratio": True},
    ],
)
@pytest.mark.parametrize("data_format", [None, "channels_first"])
def test_images_as_keras_reads_them(folder, options, data_format, keras_oracle):
    path = folder / "ant" / "1.png"
    arrays = [
        k.utils.img_to_array(k.utils.load_img(path, **options), data_format)
        for k in (carnyx, keras_oracle)
    ]
    np.testing.assert_array_equal(*arrays)
    pictures = [
        k.utils.array_to_img(arrays[0], data_format) for k in (carnyx, keras_oracle)
    ]
    assert pictures[0].mode == pictures[1].mode
    np.testing.assert_array_equal(*map(np.asarray, pictures))


def test_images_that_are_written(tmp_path, folder):
    x = RNG.integers(0, 255, (6, 5, 3)).astype("float32")
    carnyx.utils.save_img(tmp_path / "a.png", x, scale=False)
    again = carnyx.utils.img_to_array(carnyx.utils.load_img(str(tmp_path / "a.png")))
    np.testing.assert_array_equal(again, x)
    stream = io.BytesIO((tmp_path / "a.png").read_bytes())
    assert carnyx.utils.load_img(stream).size == (5, 6)
    with pytest.warns(UserWarning, match="JPEG has no transparency"):
        carnyx.utils.save_img(tmp_path / "a.jpg", np.ones((4, 4, 4)), quality=50)
    wide = carnyx.utils.array_to_img(np.full((2, 2, 1), 300.0), scale=False)
    assert wide.mode == "I"


@pytest.mark.parametrize(
    "way", ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"]
)
@pytest.mark.parametrize("size", [(8, 9), (30, 21)])
def test_resizing_is_that_of_the_op(way, size):
    x = RNG.uniform(0, 255, (11, 14, 3)).astype("float32")
    wanted = carnyx.ops.image.resize(x, size, interpolation=way)
    np.testing.assert_allclose(images.resize(x, size, way), wanted, atol=1e-3)
    for options in ({"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True}):
        wanted = carnyx.ops.image.resize(x, size, interpolation=way, **options)
        crop = "crop_to_aspect_ratio" in options
        cut = images.fitted(x, size, crop, not crop)
        np.testing.assert_allclose(images.resize(cut, size, way), wanted, atol=1e-3)


def test_other_ways_of_resizing():
    x = np.arange(16.0, dtype="float32").reshape(4, 4, 1)
    area = images.resize(x, (2, 2), "area")[..., 0]
    np.testing.assert_allclose(area, [[2.5, 4.5], [10.5, 12.5]])
    thirds = images.resize(x[:3, :1], (2, 1), "area")[:, 0, 0]
    np.testing.assert_allclose(thirds, [4 / 3, 20 / 3], rtol=1e-6)
    for way in ("gaussian", "mitchellcubic"):
        flat = images.resize(np.full((5, 4, 1), 3.0, "float32"), (7, 9), way)
        np.testing.assert_allclose(flat, 3, rtol=1e-6)


# ---- directories


def make(folder, kind="image", **options):
    options = {"verbose": False, **options}
    if kind == "image":
        options = {"image_size": (8, 9), **options}
    return getattr(carnyx.utils, f"{kind}_dataset_from_directory")(folder, **options)


def test_a_directory_of_images(folder, capsys):
    data = make(folder, batch_size=4, shuffle=False, verbose=True)
    assert capsys.readouterr().out == "Found 10 files belonging to 2 classes.\n"
    assert data.class_names == ["ant", "bird"] and len(data) == 3
    assert [p[-9:] for p in data.file_paths[:2]] == ["ant/0.png", "ant/1.png"]
    x, y = data.element_spec
    assert x.shape == (None, 8, 9, 3) and y.dtype == "int32"
    labels = np.concatenate([y for _, y in data])
    assert labels.tolist() == [0] * 5 + [1] * 5
    assert make(folder, data_format="channels_first").element_spec[0].shape[1] == 3
    assert make(folder, labels=None).element_spec.shape == (None, 8, 9, 3)


@pytest.mark.parametrize(
    "mode, shape, dtype",
    [
        ("int", (), "int32"),
        ("binary", (1,), "float32"),
        ("categorical", (2,), "float32"),
    ],
)
def test_labels_of_files(folder, mode, shape, dtype):
    _, label = make(folder, label_mode=mode, batch_size=None).element_spec
    assert (label.shape, label.dtype) == (shape, dtype)


def test_two_parts_have_no_file_in_common_and_are_those_of_keras(folder, keras_oracle):
    from keras.src.utils import dataset_utils

    options = {"validation_split": 0.3, "seed": 5}
    train, val = make(folder, subset="both", **options)
    assert not set(train.file_paths) & set(val.file_paths)
    assert len(train.file_paths) == 7 and len(val.file_paths) == 3
    assert make(folder, subset="validation", **options).file_paths == val.file_paths
    paths, _, _ = dataset_utils.index_directory(
        str(folder), "inferred", (".png",), seed=5, verbose=False
    )
    assert train.file_paths == paths[:7] and val.file_paths == paths[7:]
    first, second = ([y.tolist() for _, y in train] for _ in range(2))
    assert len(first) == 1 and sorted(first[0]) == sorted(second[0])


def test_a_directory_of_texts(folder):
    data = make(folder, "text", shuffle=False, batch_size=6, max_length=5)
    texts = [t for batch, _ in data for t in batch.tolist()]
    assert texts[0] == "ant 0" and texts[-1] == "bird " and len(texts) == 10
    chosen = make(folder, "text", class_names=["bird"], shuffle=False)
    assert next(iter(chosen))[0][1] == "bird 1"
    assert len(next(iter(make(folder, "text", label_mode=None)))) == 15


def test_it_trains(folder):
    layers = carnyx.layers
    model = carnyx.Sequential(
        [carnyx.Input((8, 9, 3)), layers.Flatten(), layers.Dense(2)]
    )
    model.compile("sgd", carnyx.losses.SparseCategoricalCrossentropy(from_logits=True))
    train, val = make(folder, subset="both", validation_split=0.3, seed=1, batch_size=2)
    scaled = train.map(lambda x, y: (x / 255, y))
    assert scaled.class_names == ["ant", "bird"] and scaled.file_paths is None
    history = model.fit(scaled, validation_data=val, epochs=2, verbose=0).history
    assert len(history["val_loss"]) == 2 and np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"labels": [0, 1]}, "labels has 2 entries; .* has 15 files"),
        ({"class_names": ["cat"]}, r"has the folders \['ant', 'bird'\]"),
        ({"label_mode": "binary", "class_names": ["ant"]}, "needs 2 classes"),
        ({"label_mode": "ints"}, "label_mode got 'ints'; .* Did you mean 'int'"),
        ({"validation_split": 0.2}, "go together"),
        ({"validation_split": 0.2, "subset": "both"}, "needs a seed"),
        ({"image_size": 3.0}, "image_size got 3.0"),
        ({"interpolation": "cubic"}, "Did you mean 'bicubic'"),
        ({"format": "torch"}, "format got 'torch'"),
    ],
)
def test_what_a_directory_cannot_be(folder, options, message):
    with pytest.raises(ArgumentError, match=message):
        make(folder, **options)


def test_files_that_are_missing_or_broken(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="No files in .*; looked for .bmp"):
        make(tmp_path)
    (tmp_path / "a" / "x.png").write_bytes(b"no image")
    with pytest.raises(Exception) as caught:
        list(make(tmp_path))
    assert "x.png" in caught.value.__notes__[-1]
    with pytest.raises(ArgumentError, match="ragged=True needs TensorFlow"):
        make(tmp_path, "audio", ragged=True)


# ---- series and splits


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sequence_stride": 3, "sampling_rate": 2},
        {"start_index": 4, "end_index": 20, "batch_size": 5},
        {"batch_size": None},
    ],
)
@pytest.mark.parametrize("targets", [False, True])
def test_windows_are_cut_where_they_should(options, targets):
    series = np.arange(60).reshape(30, 2)
    data = carnyx.utils.timeseries_dataset_from_array(
        series, series[:, 0] * 10 if targets else None, 4, **options
    )
    rows = series[options.get("start_index", 0) : options.get("end_index", 30)]
    rate, stride = options.get("sampling_rate", 1), options.get("sequence_stride", 1)
    starts = range(0, len(rows) - 3 * rate, stride)
    wanted = [rows[s : s + 3 * rate + 1 : rate] for s in starts]
    got = list(data)
    x = [pair[0] for pair in got] if targets else got
    join = np.concatenate if options.get("batch_size", 1) else np.stack
    np.testing.assert_array_equal(join(x), np.stack(wanted))
    if targets:
        y = join([pair[1] for pair in got])
        np.testing.assert_array_equal(y, [rows[s, 0] * 10 for s in starts])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sampling_rate": 0}, "sampling_rate got 0 for 30 steps"),
        ({"start_index": 9, "end_index": 3}, "start_index=9, end_index=3"),
        ({"sequence_length": 40}, "no window of 40 steps"),
    ],
)
def test_windows_that_cannot_be(options, message):
    with pytest.raises(ArgumentError, match=message):
        carnyx.utils.timeseries_dataset_from_array(
            np.arange(30), None, **{"sequence_length": 4, **options}
        )


@pytest.mark.parametrize(
    "sizes, counts",
    [((0.25, None), (3, 9)), ((None, 5), (7, 5)), ((4, 0.5), (4, 6))],
)
def test_splits(sizes, counts):
    x, y = np.arange(24).reshape(12, 2), np.arange(12)
    for given in ((x, y), [x, y], carnyx.utils.split_dataset((x, y), 11, 1)[0]):
        if not isinstance(given, list | tuple):
            continue
        left, right = carnyx.utils.split_dataset(given, *sizes)
        assert (len(left), len(right)) == counts
        assert [int(b) for _, b in left] == list(range(counts[0]))
        assert [int(b) for _, b in right] == list(range(12 - counts[1], 12))
    left, right = carnyx.utils.split_dataset((x, y), *sizes, shuffle=True, seed=2)
    mixed = [int(b) for part in (left, right) for _, b in part]
    assert len(set(mixed)) == len(mixed) and mixed != sorted(mixed)


def test_a_batched_dataset_is_split_by_samples():
    data = carnyx.utils.timeseries_dataset_from_array(
        np.arange(13), None, 4, batch_size=3
    )
    left, right = carnyx.utils.split_dataset(data, left_size=4)
    assert [len(b) for b in left] == [3, 1] and [len(b) for b in right] == [3, 3]


@pytest.mark.parametrize(
    "sizes, message",
    [
        ((None, None), "needs left_size or right_size"),
        ((1.5, None), "left_size got 1.5"),
        ((0.8, 0.8), "make parts of"),
        ((12, None), "left_size got 12"),
    ],
)
def test_splits_that_cannot_be(sizes, message):
    with pytest.raises(ArgumentError, match=message):
        carnyx.utils.split_dataset(np.arange(12), *sizes)
