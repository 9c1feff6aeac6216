"""Kind: predictions and targets with unknown sizes, or of which one is fixed.

Metrics and losses are prepared before the first step, on shapes alone. Sizes of the
predictions and of the targets were two different unknown ones, or unknown and fixed,
so that the first `fit`, `evaluate` or `train_on_batch` of language models, taggers,
segmentation and stateful models failed with any metric but a few.
"""

import numpy as np
import pytest

import carnyx as keras

CLASSES = 3
ROWS = [
    ("mse", ["mae", "cosine_similarity"], "values"),
    ("binary_crossentropy", ["binary_accuracy", keras.metrics.AUC()], "bits"),
    ("categorical_crossentropy", ["accuracy", "top_k_categorical_accuracy"], "one-hot"),
    (
        "sparse_categorical_crossentropy",
        [
            "accuracy",
            "sparse_categorical_crossentropy",
            "sparse_top_k_categorical_accuracy",
        ],
        "labels",
    ),
]
SPACES = {
    "sequence": ((None,), (4,)),
    "image": ((None, None), (4, 2)),
    "fixed": ((4,),) * 2,
}


def targets(kind, shape):
    labels = np.random.default_rng(0).integers(0, CLASSES, shape)
    one_hot = np.eye(CLASSES, dtype="float32")[labels]
    return labels if kind == "labels" else one_hot


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("loss", "metrics", "kind"), ROWS)
def test_models_of_unknown_sizes_train(loss, metrics, kind, space):
    unknown, known = SPACES[space]
    batch = 2 if space == "fixed" else None
    x = np.ones((4, *known, 2), "float32")
    y = targets(kind, (4, *known))
    for first in ("fit", "evaluate", "train_on_batch"):
        inputs = keras.Input((*unknown, 2), batch_size=batch)
        outputs = keras.layers.Dense(CLASSES, activation="softmax")(inputs)
        model = keras.Model(inputs, outputs)
        again = [m if isinstance(m, str) else type(m)() for m in metrics]
        model.compile("sgd", loss, metrics=again)
        more = {} if first == "train_on_batch" else {"batch_size": 2, "verbose": 0}
        getattr(model, first)(x[:2], y[:2], **more)
