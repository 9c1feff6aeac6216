"""Boxes go where their pixels go, in every format."""

import itertools

import keras
import numpy as np
import pytest

from carnyx import layers
from carnyx.utils import bounding_boxes as ours

theirs = keras.utils.bounding_boxes
FORMATS = (
    "xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx",
    "rel_xywh", "rel_center_xywh",
)  # fmt: skip
H, W = 40, 60
BOXES = np.array([[[12, 8, 22, 20], [30, 14, 44, 30]]], "float32")
LABELS = np.array([[3, 5]], "int32")


@pytest.mark.parametrize("source", FORMATS)
def test_formats(source):
    boxes = np.random.default_rng(0).uniform(0.1, 0.4, (2, 3, 4)).astype("float32")
    boxes *= 1 if source.startswith("rel") else 40
    for target in FORMATS:
        args = (boxes, source, target, H, W)
        np.testing.assert_allclose(
            ours.convert_format(*args), theirs.convert_format(*args), rtol=1e-5
        )


def test_functions_of_boxes():
    rng = np.random.default_rng(1)
    a, b = (rng.uniform(0, 20, (2, 5, 4)).astype("float32") for _ in range(2))
    a[..., 2:] += a[..., :2]
    b[..., 2:] += b[..., :2]
    a[0, 0] = -1
    turns = [rng.uniform(-20, 20, 2).astype("float32") for _ in range(6)]
    calls = [
        ("compute_iou", (a, b, "xyxy"), {}),
        ("compute_iou", (a, b, "xywh", True, -7), {}),
        ("compute_iou", (a / 60, b[1] / 60, "rel_xyxy"), {"image_shape": (H, W, 3)}),
        ("compute_ciou", (a, b, "xyxy"), {}),
        ("crop", (a, 3, 4, 12, 13), {}),
        ("pad", (a, 3, 4), {}),
        ("affine_transform", (a, *turns, H, W), {}),
        ("encode_box_to_deltas", (a[1], b, "xyxy", "xyxy"), {"variance": [1, 2, 3, 4]}),
        ("decode_deltas_to_boxes", (a[1], b / 60, "xyxy", "yxyx"), {}),
    ]
    for name, args, more in calls:
        out, wanted = (getattr(lib, name)(*args, **more) for lib in (ours, theirs))
        np.testing.assert_allclose(out, wanted, rtol=2e-4, atol=2e-4, err_msg=name)
    boxes = {"boxes": a, "labels": np.ones((2, 5))}
    out, wanted = (lib.clip_to_image_size(boxes, 10, 12) for lib in (ours, theirs))
    for key in boxes:
        np.testing.assert_allclose(out[key], wanted[key])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ours.convert_format(BOXES, "xxyy", "xyxy"), "source got 'xxyy'"),
        (lambda: ours.convert_format(BOXES, "xyxy", "rel_xyxy"), "needs both"),
        (lambda: ours.convert_format(BOXES[..., :3], "xyxy", "xywh"), r"\(…, 4\)"),
        (lambda: ours.compute_iou(BOXES[0, 0], BOXES, "xyxy"), "boxes1 of shape"),
        (
            lambda: ours.encode_box_to_deltas(BOXES, BOXES, "xyxy", "xyxy", "xywh"),
            "'center_xywh' or 'center_yxhw'",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_formats_that_are_not_taken():
    with pytest.raises(NotImplementedError, match="Convert the boxes"):
        ours.crop(BOXES, 1, 1, 2, 2, bounding_box_format="xywh")
    with pytest.raises(NotImplementedError, match="no transform_bounding_boxes"):
        layers.CutMix(bounding_box_format="xyxy")(data("xyxy"))


MOVING = [
    ("RandomFlip", {"mode": "horizontal"}),
    ("RandomFlip", {}),
    ("RandomRotation", {"factor": 0.05}),
    ("RandomRotation", {"factor": (0.25, 0.25)}),
    ("RandomZoom", {"height_factor": (-0.2, 0.3), "width_factor": (-0.2, 0.3)}),
    ("RandomTranslation", {"height_factor": 0.15, "width_factor": 0.15}),
    ("RandomShear", {"x_factor": 0.2, "y_factor": 0.1}),
    ("RandomPerspective", {"factor": (1.0, 1.0), "scale": 0.15}),
    ("RandomCrop", {"height": 36, "width": 50}),
    ("RandomCrop", {"height": 50, "width": 50}),
    ("CenterCrop", {"height": 36, "width": 50}),
    ("CenterCrop", {"height": 50, "width": 50}),
    ("Resizing", {"height": 20, "width": 50}),
    ("Resizing", {"height": 30, "width": 30, "pad_to_aspect_ratio": True}),
    ("Resizing", {"height": 30, "width": 30, "crop_to_aspect_ratio": True}),
    ("RandAugment", {"num_ops": 3, "factor": 0.1}),
]


def data(form):
    """An image in which the first box is red, the second green; and masks."""
    image = np.zeros((1, H, W, 3), "float32")
    masks = np.zeros((1, H, W, 1), "int32")
    for i, (x1, y1, x2, y2) in enumerate(BOXES[0].astype(int)):
        image[:, y1:y2, x1:x2, i] = 255
        masks[:, y1:y2, x1:x2] = LABELS[0, i]
    boxes = ours.convert_format(BOXES, "xyxy", form, H, W)
    return {
        "images": image,
        "bounding_boxes": {"boxes": boxes, "labels": LABELS},
        "segmentation_masks": masks,
        "labels": np.ones(1, "float32"),
    }


@pytest.mark.parametrize(
    "name, arguments", MOVING, ids=[f"{i}-{r[0]}" for i, r in enumerate(MOVING)]
)
def test_boxes_are_around_their_pixels(name, arguments):
    """Within two pixels: coordinates are those of pixels, as in Keras."""
    seed = {"seed": 4} if "Random" in name or name == "RandAugment" else {}
    fill = {"fill_mode": "constant"} if "Rota" in name or "Zoom" in name else {}
    form = next(itertools.islice(itertools.cycle(FORMATS), len(name) % 9, None))
    layer = getattr(layers, name)(**arguments | fill, **seed, bounding_box_format=form)
    out = layer(data(form))
    masks = np.asarray(out["segmentation_masks"])[0, ..., 0]
    high, wide = masks.shape
    boxes = out["bounding_boxes"]
    corners = np.asarray(ours.convert_format(boxes["boxes"], form, "xyxy", high, wide))
    for label, kept, box in zip(LABELS[0], np.asarray(boxes["labels"])[0], corners[0]):
        rows, columns = np.nonzero(masks == label)
        assert kept == label and len(rows)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box, seen, atol=2.5)


def test_boxes_that_leave_have_the_label_minus_one():
    layer = layers.RandomTranslation(
        0.0, (1.0, 1.0), bounding_box_format="xyxy", fill_mode="constant"
    )
    out = layer(data("xyxy"))["bounding_boxes"]
    assert np.asarray(out["labels"]).tolist() == [[-1, -1]]


def test_one_image_and_lists_of_unequal_length():
    layer = layers.RandomFlip("horizontal", seed=1, bounding_box_format="xyxy")
    one = data("xyxy")
    single = {
        "images": one["images"][0],
        "bounding_boxes": {"boxes": BOXES[0], "labels": LABELS[0]},
    }
    out = layer(single)
    assert out["bounding_boxes"]["boxes"].shape == (2, 4)
    assert set(single["bounding_boxes"]) == {"boxes", "labels"}
    several = {
        "images": np.concatenate([one["images"]] * 2),
        "bounding_boxes": {
            "boxes": [[[1, 2, 3, 4]], [[1, 2, 3, 4], [2, 2, 5, 5]]],
            "labels": [[1], [1, 2]],
        },
    }
    out = layer(several)["bounding_boxes"]
    assert out["boxes"].shape == (2, 2, 4)
    assert np.asarray(out["labels"]).tolist() == [[1, -1], [1, 2]]
    several["bounding_boxes"]["labels"] = [[1], [1]]
    with pytest.raises(ValueError, match="Image 1 has 2 bounding boxes and 1 labels"):
        layer(several)


def test_boxes_need_a_format():
    with pytest.raises(ValueError, match="make it with bounding_box_format="):
        layers.RandomFlip()(data("xyxy"))
    with pytest.raises(ValueError, match="bounding_box_format='xy'"):
        layers.RandomFlip(bounding_box_format="xy")


def test_boxes_of_mixed_images_are_those_of_both():
    layer = layers.MixUp(seed=1, bounding_box_format="xyxy")
    both = {
        "images": np.zeros((2, 4, 4, 3)),
        "bounding_boxes": {"boxes": np.ones((2, 1, 4)), "labels": np.array([[1], [2]])},
    }
    out = layer(both)["bounding_boxes"]
    assert out["boxes"].shape == (2, 2, 4) and out["labels"].shape == (2, 2)
