"""Boxes and masks on images, and galleries of them."""

import matplotlib as mpl
import numpy as np
import pytest

import carnyx as keras
from carnyx import visualization as vis

mpl.use("agg")
rng = np.random.default_rng(0)
BLACK = np.zeros((2, 24, 32, 3), "uint8")
BOXES = {"boxes": np.array([[[2, 3, 12, 13]], [[5, 5, 9, 20]]], "float32"),
         "labels": np.array([[1], [2]])}  # fmt: skip


def test_a_frame_lies_where_the_box_says():
    drawn = vis.draw_bounding_boxes(
        BLACK, BOXES, "xyxy", color=(9, 8, 7), line_thickness=1
    )
    on = (drawn[0] == (9, 8, 7)).all(-1)
    assert on[3, 2:13].all() and on[13, 2:13].all() and on[3:13, 2].all()
    assert on[3:13, 12].all() and not on[5:12, 4:11].any() and not on[:, 14:].any()
    assert drawn.dtype == "uint8" and drawn.shape == BLACK.shape


@pytest.mark.parametrize(
    "format", ["yxyx", "xywh", "center_xywh", "rel_xyxy", "rel_yxyx"]
)
def test_every_format_gives_the_same_picture(format):
    convert = keras.utils.bounding_boxes.convert_format
    other = np.asarray(convert(BOXES["boxes"], "xyxy", format, 24, 32))
    drawn = vis.draw_bounding_boxes(BLACK, {**BOXES, "boxes": other}, format)
    np.testing.assert_array_equal(drawn, vis.draw_bounding_boxes(BLACK, BOXES, "xyxy"))


def test_missing_boxes_are_left_out_and_those_beyond_the_edge_cut():
    none = {**BOXES, "labels": np.array([[-1], [-1]])}
    assert not vis.draw_bounding_boxes(BLACK, none, "xyxy").any()
    far = {**BOXES, "boxes": np.array([[[-9, -9, 90, 90]]] * 2, "float32")}
    assert not vis.draw_bounding_boxes(BLACK, far, "xyxy").any()


def test_names_and_confidences_are_written():
    more = BOXES | {"confidences": np.array([[0.5], [0.25]])}
    plain = vis.draw_bounding_boxes(BLACK, BOXES, "xyxy")
    named = vis.draw_bounding_boxes(BLACK, BOXES, "xyxy", {1: "cat"})
    sure = vis.draw_bounding_boxes(BLACK, more, "xyxy", {1: "cat"})
    assert (named[0] != plain[0]).any() and (sure[0] != named[0]).any()
    np.testing.assert_array_equal(named[1], plain[1])  # its label has no name


def test_floats_and_channels_first():
    floats = rng.random((1, 6, 8, 3)).astype("float32")
    one = {k: v[:1] for k, v in BOXES.items()}
    last = vis.draw_bounding_boxes(floats, one, "xyxy")
    first = vis.draw_bounding_boxes(np.moveaxis(floats, -1, 1), one, "xyxy",
                                    data_format="channels_first")  # fmt: skip
    np.testing.assert_array_equal(first, last)
    assert abs(int(last[0, 0, 0, 0]) - 255 * floats[0, 0, 0, 0]) <= 0.5


MASK = np.zeros((2, 24, 32), "int32")
MASK[:, 2:5, 3:9], MASK[:, 10:12] = 1, 2


@pytest.mark.parametrize("shape", ["plain", "column"])
def test_masks_colour_their_classes_and_not_the_background(shape):
    mask = MASK if shape == "plain" else MASK[..., None]
    image = np.full((2, 24, 32, 3), 100, "uint8")
    drawn = vis.draw_segmentation_masks(image, mask, color_mapping={1: (200, 0, 0)},
                                        alpha=0.5)  # fmt: skip
    assert (drawn[:, 2:5, 3:9] == (150, 50, 50)).all()
    assert (drawn[:, 20:] == 100).all() and (drawn[:, 10:12] != 100).any()


def test_colours_of_keras_where_none_are_given(keras_oracle):
    image = np.full((2, 24, 32, 3), 100.0, "float32")
    theirs = keras_oracle.visualization.draw_segmentation_masks(
        image, MASK[..., None], 3
    )
    ours = vis.draw_segmentation_masks(image, MASK, 3)
    np.testing.assert_allclose(ours[MASK > 0], theirs[MASK > 0].astype(int), atol=1)


def test_what_is_ignored_and_what_covers():
    image = np.full((2, 24, 32, 3), 100, "uint8")
    drawn = vis.draw_segmentation_masks(image, MASK, blend=False, ignore_index=2,
                                        color_mapping={0: (1, 2, 3)})  # fmt: skip
    assert (drawn[:, 10:12] == 100).all() and (drawn[:, 20:] == (1, 2, 3)).all()
    few = vis.draw_segmentation_masks(image, MASK, num_classes=1)
    assert (few[:, 10:12] == 100).all()


@pytest.fixture
def no_window(monkeypatch):
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    yield shown
    plt.close("all")


@pytest.mark.parametrize("count, grid", [(1, (1, 1)), (4, (2, 2)), (5, (3, 2))])
def test_every_image_has_a_place(count, grid, no_window):
    figure = vis.plot_image_gallery(rng.random((count, 4, 4, 3)), value_range=(0, 1),
                                    show=False)  # fmt: skip
    axes = figure.get_axes()
    assert len(axes) == grid[0] * grid[1]
    assert sum(bool(axis.images) for axis in axes) == count and not no_window


def test_labels_stand_above():
    figure = vis.plot_image_gallery(
        BLACK, [0, 1], [1, 7], {0: "cat", 1: "dog"}, show=False
    )
    titles = [axis.get_title() for axis in figure.get_axes()]
    assert titles == ["Label: cat  Pred: dog", "Label: dog  Pred: Unknown"]


def test_galleries_are_saved_or_shown(tmp_path, no_window):
    assert vis.plot_image_gallery(BLACK, path=tmp_path / "g.png") is None
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG") and not no_window
    vis.plot_image_gallery(BLACK)
    assert no_window == [True]


def test_boxes_and_masks_in_galleries(no_window):
    figure = vis.plot_bounding_box_gallery(
        BLACK / 255, "xyxy", BOXES, BOXES, value_range=(0, 1), legend=True, show=False,
        class_mapping={1: "cat"},
    )  # fmt: skip
    shown = figure.get_axes()[0].images[0].get_array()
    assert (shown == (255, 235, 59)).all(-1).any()
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "Ground Truth", "Prediction",
    ]  # fmt: skip
    figure = vis.plot_segmentation_mask_gallery(
        np.moveaxis(BLACK, -1, 1), 2, y_true=MASK, y_pred=MASK[:, None], show=False,
        data_format="channels_first",
    )  # fmt: skip
    assert len(figure.get_axes()) == 6


@pytest.mark.parametrize("call, words", [
    (lambda: vis.draw_bounding_boxes(BLACK[0], BOXES, "xyxy"), "of rank 4"),
    (lambda: vis.draw_bounding_boxes(BLACK, [1], "xyxy"), "should be a dict"),
    (lambda: vis.draw_bounding_boxes(BLACK, {"boxes": 1}, "xyxy"), "'labels'"),
    (lambda: vis.draw_segmentation_masks(BLACK, MASK * 1.0), "must be integers"),
    (lambda: vis.draw_segmentation_masks(BLACK, MASK[:1]), "for images of shape"),
    (lambda: vis.draw_segmentation_masks(BLACK, MASK, alpha=2), "alpha got 2"),
    (lambda: vis.plot_image_gallery(BLACK, y_true=[0, 1]), "label_map"),
    (lambda: vis.plot_image_gallery(BLACK, path="x.png", show=True), "not both"),
    (lambda: vis.plot_image_gallery(BLACK, value_range=(1, 0)), "value_range"),
    (lambda: vis.plot_bounding_box_gallery(
        BLACK, "xyxy", legend=True, legend_handles=[1]), "not both"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
