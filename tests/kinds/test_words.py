"""Errors of typical mistakes say what to do, in words of whoever writes a model.

Why it happened: an error came from where it was noticed, deep inside: in the words of
JAX (tracers, jaxprs), of our machine room, or with sizes that only inference had made
up. Each row is a mistake, the exception that code written for Keras catches, and what
the message has to say. No message, and none of its notes, says an internal word.
"""

import io
import re

import numpy as np
import pytest

import carnyx as keras

L, ops = keras.layers, keras.ops
X, Y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
T = np.ones((8, 5, 4), "float32")

INTERNAL = re.compile(
    r"pure function|of pure|\b240\b|\b720\b|zip\(\)|bit_length|__jax_array__|__array__"
    r"|stateless_apply|jaxpr|[Tt]racer|JAX_TRACEBACK|pytree|\bfeed\b|eval_shape|aval\b"
    r"|ShapedArray|Concretization|unhashable|Trainer|unknown_size|has no attribute '_"
    r"|unsupported operand|carnyx/_|carnyx\._|\bd\d\b"
)


def seq(*layers, loss="mse", **options):
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", loss, **options)
    return model


def model():
    return seq(L.Dense(1))


class User(L.Layer):
    def __init__(self, f, **options):
        super().__init__(**options)
        self.f = f

    def call(self, x):
        return self.f(x)


class SubModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.d = L.Dense(1)

    def call(self, x):
        return self.d(x)


def fit_user(f):
    return seq(User(f), L.Dense(1)).fit(X, Y, verbose=0)


# mistake -> (it, what is raised, what is said)
MISTAKES = {
    "dense last axis": (
        lambda: model()(np.ones((2, 5))),
        ValueError,
        "expected (None, 4)",
    ),
    "fit last axis": (
        lambda: model().fit(np.ones((8, 5)), Y, verbose=0),
        ValueError,
        "in step 0 of the epoch",
    ),
    "conv2d on 3d": (
        lambda: L.Conv2D(3, 3)(np.ones((2, 5, 5))),
        ValueError,
        "expected 4",
    ),
    "conv2d no batch": (
        lambda: L.Conv2D(3, 3)(keras.Input((28, 28))),
        ValueError,
        "expected 4",
    ),
    "lstm 2d": (
        lambda: keras.Sequential([keras.Input((5, 4)), L.LSTM(3), L.LSTM(3)]),
        ValueError,
        "return_sequences=True",
    ),
    "lstm 2d in": (lambda: L.LSTM(3)(X), ValueError, "A recurrent layer takes steps"),
    "conv kernel too big": (
        lambda: L.Conv1D(3, 9)(T),
        ValueError,
        "Use a smaller window",
    ),
    "conv kernel too big sym": (
        lambda: L.Conv1D(3, 9)(keras.Input((5, 4))),
        ValueError,
        "Use a smaller window",
    ),
    "maxpool too big": (
        lambda: L.MaxPooling1D(9)(T),
        ValueError,
        "Use a smaller window",
    ),
    "add shapes": (
        lambda: L.Add()([keras.Input((4,)), keras.Input((5,))]),
        ValueError,
        "which do not fit together",
    ),
    "concat shapes": (
        lambda: L.Concatenate()([keras.Input((4, 3)), keras.Input((5, 3))]),
        ValueError,
        "which differ on axis 1",
    ),
    "concat one": (
        lambda: L.Concatenate()(keras.Input((4, 3))),
        ValueError,
        "expected a list of one or more tensors",
    ),
    "dot": (
        lambda: L.Dot(1)([keras.Input((4,)), keras.Input((5,))]),
        ValueError,
        "expected equal ones",
    ),
    "reshape": (
        lambda: L.Reshape((3,))(X),
        ValueError,
        "which do not fit target_shape=",
    ),
    "reshape sym": (
        lambda: L.Reshape((3,))(keras.Input((4,))),
        ValueError,
        "which do not fit target_shape=",
    ),
    "mha": (
        lambda: L.MultiHeadAttention(2, 3)(X),
        TypeError,
        "was called without 'value'",
    ),
    "bn axis": (
        lambda: L.BatchNormalization(axis=7)(X),
        ValueError,
        "which has no axis 7",
    ),
    "ln axis": (
        lambda: L.LayerNormalization(axis=7)(X),
        ValueError,
        "which has no axis 7",
    ),
    "softmax axis": (
        lambda: L.Softmax(axis=5)(X),
        ValueError,
        "axis=5 is not an axis of an array",
    ),
    "permute": (
        lambda: L.Permute((1, 3))(T),
        ValueError,
        "expected the numbers from 1 to the number of",
    ),
    "permute0": (
        lambda: L.Permute((0, 1)),
        ValueError,
        "expected the numbers from 1 to the number of",
    ),
    "repeat": (lambda: L.RepeatVector(2)(T), ValueError, "expected 2"),
    "timedist": (lambda: L.TimeDistributed(L.Dense(2))(X), ValueError, "(batch, time"),
    "timedist notlayer": (lambda: L.TimeDistributed(3), ValueError, "expected a layer"),
    "bidir": (
        lambda: L.Bidirectional(L.Dense(2)),
        ValueError,
        "expected a recurrent layer",
    ),
    "cropping": (lambda: L.Cropping1D(4)(T), ValueError, "leaves nothing of axis 1"),
    "cropping sym": (
        lambda: L.Cropping1D(4)(keras.Input((5, 4))),
        ValueError,
        "(None, 5, 4)",
    ),
    "upsampling": (lambda: L.UpSampling2D(2)(T), ValueError, "expected 4"),
    "gap": (lambda: L.GlobalAveragePooling2D()(T), ValueError, "expected 4"),
    "einsum": (lambda: L.EinsumDense("ab,bc->ac", 3)(T), ValueError, "'ab,bc->ac'"),
    "strings": (
        lambda: model().fit(np.array([["a"] * 4] * 8), Y, verbose=0),
        ValueError,
        "a model takes numbers",
    ),
    "strings y": (
        lambda: model().fit(X, np.array(["a"] * 8), verbose=0),
        ValueError,
        "a loss takes numbers",
    ),
    "object": (
        lambda: model().fit(np.array([[1, 2], [3]], dtype=object), Y[:2], verbose=0),
        ValueError,
        "Pad rows to one length",
    ),
    "ragged list": (
        lambda: model().fit([[1, 2, 3, 4], [1, 2]], Y[:2], verbose=0),
        ValueError,
        "expected an array",
    ),
    "list of rows": (
        lambda: model().fit([r for r in X], Y, verbose=0),
        ValueError,
        "numpy.stack(x)",
    ),
    "list of rows2": (
        lambda: model().fit(X.tolist(), Y.tolist(), verbose=0),
        ValueError,
        "Make an array of it",
    ),
    "dense on list": (
        lambda: L.Dense(3)([[1.0, 2.0]]),
        ValueError,
        "expected an array",
    ),
    "dense on str": (lambda: L.Dense(3)("abc"), ValueError, "expected an array"),
    "dense on None": (lambda: L.Dense(3)(None), ValueError, "expected a tensor"),
    "dense no arg": (lambda: L.Dense(3)(), TypeError, "was called without"),
    "dense int": (lambda: L.Dense(3)(5), ValueError, "expected an array"),
    "no compile": (
        lambda: keras.Sequential([keras.Input((4,)), L.Dense(1)]).fit(X, Y, verbose=0),
        ValueError,
        "is not compiled",
    ),
    "no compile eval": (
        lambda: keras.Sequential([keras.Input((4,)), L.Dense(1)]).evaluate(
            X, Y, verbose=0
        ),
        ValueError,
        "is not compiled",
    ),
    "no loss": (
        lambda: (lambda m: (m.compile("sgd"), m.fit(X, Y, verbose=0)))(model()),
        ValueError,
        "Pass loss=",
    ),
    "bad loss fit": (
        lambda: seq(L.Dense(1), loss="mean_square_error").fit(X, Y, verbose=0),
        ValueError,
        "Did you mean",
    ),
    "bad optimizer": (
        lambda: model().compile("adamm", "mse"),
        ValueError,
        "Did you mean",
    ),
    "bad metric": (
        lambda: seq(L.Dense(1), metrics=["acuracy"]).fit(X, Y, verbose=0),
        ValueError,
        "Did you mean",
    ),
    "metric object": (
        lambda: seq(L.Dense(1), metrics=[3]).fit(X, Y, verbose=0),
        ValueError,
        "expected a name",
    ),
    "metric dict": (
        lambda: seq(L.Dense(1), metrics={"nope": ["mae"]}).fit(X, Y, verbose=0),
        ValueError,
        "has the key 'nope'",
    ),
    "loss dict": (
        lambda: seq(L.Dense(1), loss={"nope": "mse"}).fit(X, Y, verbose=0),
        ValueError,
        "has the key 'nope'",
    ),
    "loss list": (
        lambda: seq(L.Dense(1), loss=["mse", "mae"]).fit(X, Y, verbose=0),
        ValueError,
        "2 entries for 1 outputs",
    ),
    "loss number": (
        lambda: seq(L.Dense(1), loss=3).fit(X, Y, verbose=0),
        ValueError,
        "expected a name",
    ),
    "loss none ret": (
        lambda: seq(L.Dense(1), loss=lambda a, b: None).fit(X, Y, verbose=0),
        ValueError,
        "End its function with",
    ),
    "loss str ret": (
        lambda: seq(L.Dense(1), loss=lambda a, b: "x").fit(X, Y, verbose=0),
        ValueError,
        "'x'",
    ),
    "loss_weights": (
        lambda: seq(L.Dense(1), loss_weights="a").fit(X, Y, verbose=0),
        ValueError,
        "expected a number",
    ),
    "loss_weights2": (
        lambda: seq(L.Dense(1), loss_weights=[1, 2]).fit(X, Y, verbose=0),
        ValueError,
        "2 entries for 1 outputs",
    ),
    "fit none": (lambda: model().fit(None, verbose=0), ValueError, "expected arrays"),
    "fit nothing": (lambda: model().fit(verbose=0), ValueError, "expected arrays"),
    "fit no y": (lambda: model().fit(X, verbose=0), ValueError, "y is None"),
    "fit y none": (lambda: model().fit(X, None, verbose=0), ValueError, "y is None"),
    "predict none": (
        lambda: model().predict(None, verbose=0),
        ValueError,
        "expected arrays",
    ),
    "gen 4": (
        lambda: model().fit(((X, Y, Y[:, 0], 1) for _ in range(2)), verbose=0),
        ValueError,
        "A batch has 4 parts",
    ),
    "gen only x": (
        lambda: model().fit((X for _ in range(2)), verbose=0),
        ValueError,
        "y is None",
    ),
    "gen none": (
        lambda: model().fit((None for _ in range(2)), verbose=0),
        ValueError,
        "expected arrays",
    ),
    "gen empty": (
        lambda: model().fit((X for _ in range(0)), verbose=0),
        ValueError,
        "gave no batch",
    ),
    "gen sizes": (
        lambda: model().fit(((X, Y[:3]) for _ in range(2)), verbose=0),
        ValueError,
        "The numbers of samples differ",
    ),
    "gen fn": (
        lambda: model().fit(lambda: ((X, Y) for _ in range(2)), verbose=0),
        ValueError,
        "call it",
    ),
    "gen y": (
        lambda: model().fit(((X, Y) for _ in range(2)), Y, verbose=0),
        ValueError,
        "so y must come with its batches",
    ),
    "sizes": (
        lambda: model().fit(X, Y[:3], verbose=0),
        ValueError,
        "The numbers of samples differ",
    ),
    "x str": (
        lambda: model().fit("data.csv", Y, verbose=0),
        ValueError,
        "fit does not open files",
    ),
    "x int": (lambda: model().fit(3, Y, verbose=0), ValueError, "expected arrays"),
    "y shape": (
        lambda: model().fit(X, np.ones((8, 3)), verbose=0),
        ValueError,
        "give the last layer 3 units",
    ),
    "y shape2": (
        lambda: seq(L.Dense(3)).fit(X, np.ones((8, 2)), verbose=0),
        ValueError,
        "give the last layer 2 units",
    ),
    "sce shape": (
        lambda: seq(
            L.Dense(3, activation="softmax"), loss="sparse_categorical_crossentropy"
        ).fit(X, np.ones((8, 2), int), verbose=0),
        ValueError,
        "expected class numbers of shape",
    ),
    "bce shape": (
        lambda: seq(L.Dense(3, activation="sigmoid"), loss="binary_crossentropy").fit(
            X, np.ones((8,)), verbose=0
        ),
        ValueError,
        "expected the same shape",
    ),
    "cb class": (
        lambda: model().fit(X, Y, callbacks=[keras.callbacks.EarlyStopping], verbose=0),
        ValueError,
        "expected objects of Callback classes",
    ),
    "cb str": (
        lambda: model().fit(X, Y, callbacks=["early"], verbose=0),
        ValueError,
        "expected objects of Callback classes",
    ),
    "cb str2": (
        lambda: model().fit(X, Y, callbacks="early", verbose=0),
        ValueError,
        "expected objects of Callback classes",
    ),
    "cb fn": (
        lambda: model().fit(X, Y, callbacks=[lambda: 1], verbose=0),
        ValueError,
        "expected objects of Callback classes",
    ),
    "epochs str": (
        lambda: model().fit(X, Y, epochs="3", verbose=0),
        ValueError,
        "expected an integer of at least 0",
    ),
    "epochs float": (
        lambda: model().fit(X, Y, epochs=2.5, verbose=0),
        ValueError,
        "expected an integer of at least 0",
    ),
    "epochs neg": (
        lambda: model().fit(X, Y, epochs=-1, verbose=0),
        ValueError,
        "expected an integer of at least 0",
    ),
    "batch 0": (
        lambda: model().fit(X, Y, batch_size=0, verbose=0),
        ValueError,
        "expected an integer of at least 1",
    ),
    "batch float": (
        lambda: model().fit(X, Y, batch_size=2.5, verbose=0),
        ValueError,
        "expected an integer of at least 1",
    ),
    "batch str": (
        lambda: model().fit(X, Y, batch_size="2", verbose=0),
        ValueError,
        "expected an integer of at least 1",
    ),
    "val split": (
        lambda: model().fit(X, Y, validation_split=1.5, verbose=0),
        ValueError,
        "expected a share of the samples",
    ),
    "val split gen": (
        lambda: model().fit(
            ((X, Y) for _ in range(2)), validation_split=0.5, verbose=0
        ),
        ValueError,
        "validation_split needs arrays",
    ),
    "val data x": (
        lambda: model().fit(X, Y, validation_data=X, verbose=0),
        ValueError,
        "expected (x, y)",
    ),
    "val data list": (
        lambda: model().fit(X, Y, validation_data=[X], verbose=0),
        ValueError,
        "expected (x, y)",
    ),
    "cw list": (
        lambda: model().fit(X, Y, class_weight=[1, 2], verbose=0),
        ValueError,
        "expected a dict from class number to weight",
    ),
    "cw str": (
        lambda: model().fit(X, Y, class_weight="auto", verbose=0),
        ValueError,
        "expected a dict from class number to weight",
    ),
    "sw shape": (
        lambda: model().fit(X, Y, sample_weight=np.ones(3), verbose=0),
        ValueError,
        "The numbers of samples differ",
    ),
    "sw shape2": (
        lambda: model().fit(X, Y, sample_weight=np.ones((8, 7)), verbose=0),
        ValueError,
        "sample_weight or mask has shape",
    ),
    "steps": (
        lambda: model().fit(X, Y, steps_per_epoch=0, verbose=0),
        ValueError,
        "expected an integer of at least 1",
    ),
    "fit kw": (
        lambda: model().fit(X, Y, nb_epoch=3, verbose=0),
        TypeError,
        "It is called 'epochs' today",
    ),
    "fit kw2": (
        lambda: model().fit(X, Y, epoch=3, verbose=0),
        TypeError,
        "Did you mean 'epochs'",
    ),
    "fit_generator": (
        lambda: model().fit_generator(X),
        AttributeError,
        "fit(generator)",
    ),
    "lr": (
        lambda: keras.optimizers.Adam(lr=0.1),
        ValueError,
        "'learning_rate' today",
    ),
    "lr str": (lambda: keras.optimizers.Adam("0.1"), ValueError, "expected a number"),
    "decay": (lambda: keras.optimizers.Adam(decay=0.1), ValueError, "InverseTimeDecay"),
    "opt kw": (
        lambda: keras.optimizers.Adam(learningrate=0.1),
        ValueError,
        "Did you mean",
    ),
    "clip both": (
        lambda: keras.optimizers.Adam(clipnorm=1, clipvalue=1),
        ValueError,
        "clipvalue",
    ),
    "opt int": (
        lambda: model().compile(3, "mse"),
        ValueError,
        "expected a name such as",
    ),
    "layer class": (
        lambda: keras.Sequential([L.Dense]),
        ValueError,
        "expected a layer",
    ),
    "layer class2": (
        lambda: keras.Sequential([L.Flatten, L.Dense(2)]),
        ValueError,
        "expected a layer",
    ),
    "seq non layer": (lambda: keras.Sequential([3]), ValueError, "expected a layer"),
    "seq not list": (
        lambda: keras.Sequential(3),
        ValueError,
        "expected a list of layers",
    ),
    "seq args": (
        lambda: keras.Sequential(L.Dense(2), L.Dense(3)),
        ValueError,
        "expected a list of layers",
    ),
    "add non layer": (
        lambda: keras.Sequential().add("dense"),
        ValueError,
        "expected a layer",
    ),
    "empty seq": (lambda: keras.Sequential()(X), ValueError, "has no layers"),
    "empty seq fit": (
        lambda: (lambda m: (m.compile("sgd", "mse"), m.fit(X, Y, verbose=0)))(
            keras.Sequential()
        ),
        ValueError,
        "has no layers",
    ),
    "empty seq summary": (
        lambda: keras.Sequential().predict(X),
        ValueError,
        "has no layers",
    ),
    "pop": (lambda: keras.Sequential().pop(), ValueError, "has no layers to pop"),
    "dup": (
        lambda: keras.Sequential([L.Dense(2, name="a"), L.Dense(2, name="a")]),
        ValueError,
        "has a layer named",
    ),
    "dup fun": (
        lambda: (
            lambda i: keras.Model(i, L.Dense(2, name="a")(L.Dense(2, name="a")(i)))
        )(keras.Input((4,))),
        ValueError,
        "names must differ",
    ),
    "same layer": (
        lambda: (lambda d: keras.Sequential([d, d]))(L.Dense(4)),
        ValueError,
        "has a layer named",
    ),
    "disconnected": (
        lambda: keras.Model(keras.Input((4,)), L.Dense(2)(keras.Input((4,)))),
        ValueError,
        "which is not among the inputs [",
    ),
    "model arrays": (lambda: keras.Model(X, Y), ValueError, "symbolic tensors"),
    "model none": (
        lambda: keras.Model(keras.Input((4,)), None),
        ValueError,
        "expected symbolic tensors",
    ),
    "model one": (
        lambda: keras.Model(keras.Input((4,))),
        ValueError,
        "symbolic tensors",
    ),
    "model kw": (
        lambda: keras.Model(input=keras.Input((4,)), output=3),
        ValueError,
        "takes inputs and outputs today",
    ),
    "input shape int": (lambda: keras.Input(4), ValueError, "as a shape"),
    "input shape neg": (lambda: keras.Input((-4,)), ValueError, "None where not known"),
    "input nothing": (lambda: keras.Input(), ValueError, "An Input needs a shape"),
    "input_shape": (
        lambda: L.Dense(2, input_shape="a"),
        ValueError,
        "expected a tuple of sizes",
    ),
    "input_shape2": (
        lambda: keras.Sequential([L.Dense(2, input_shape=4)]),
        ValueError,
        "expected a tuple of sizes",
    ),
    "np on symbol": (
        lambda: np.exp(keras.Input((4,))),
        ValueError,
        "so it cannot be made a NumPy array",
    ),
    "jnp on symbol": (
        lambda: __import__("jax").numpy.exp(keras.Input((8,))),
        ValueError,
        "so it cannot be given to a function of JAX",
    ),
    "if symbol": (
        lambda: bool(keras.Input((4,)) > 0),
        ValueError,
        "so it cannot be used as True or False",
    ),
    "iter symbol": (
        lambda: list(keras.Input((4,))),
        ValueError,
        "so it cannot be iterated over",
    ),
    "float symbol": (
        lambda: float(keras.Input((4,))),
        ValueError,
        "so it cannot be made a number",
    ),
    "if in call": (
        lambda: fit_user(lambda x: x if ops.max(x) > 0 else -x),
        ValueError,
        "ops.where or ops.cond",
    ),
    "while in call": (
        lambda: fit_user(lambda x: [x for _ in range(int(ops.max(x)))][0]),
        ValueError,
        "Compute with the tensor itself",
    ),
    "float in call": (
        lambda: fit_user(lambda x: x * float(ops.max(x))),
        ValueError,
        "Compute with the tensor itself",
    ),
    "np in call": (
        lambda: fit_user(lambda x: np.exp(x)),
        ValueError,
        "of the same name in keras.ops",
    ),
    "np array in call": (
        lambda: fit_user(lambda x: np.array(x)),
        ValueError,
        "of the same name in keras.ops",
    ),
    "none in call": (
        lambda: fit_user(lambda x: None),
        ValueError,
        "end it with `return outputs`",
    ),
    "bool index in call": (
        lambda: fit_user(lambda x: x[x > 0]),
        ValueError,
        "ops.where(condition, x, 0)",
    ),
    "unique in call": (
        lambda: fit_user(lambda x: __import__("jax").numpy.unique(x)),
        ValueError,
        "a size has to be known",
    ),
    "assign in call": (
        lambda: fit_user(lambda x: x.__setitem__(0, 1)),
        ValueError,
        "A tensor cannot be changed in place",
    ),
    "shape mistake in call": (lambda: fit_user(lambda x: x @ x), ValueError, "(8, 4)"),
    "reshape in call": (
        lambda: fit_user(lambda x: ops.reshape(x, (7,))),
        ValueError,
        "expected 2 or more",
    ),
    "tuple in call": (
        lambda: fit_user(lambda x: (x, x)),
        ValueError,
        "takes 1 inputs but got 2",
    ),
    "str in call": (lambda: fit_user(lambda x: "abc"), ValueError, "expected tensors"),
    "set_weights": (
        lambda: model().set_weights([1]),
        ValueError,
        "has 2 weights but got 1 arrays",
    ),
    "set_weights shape": (
        lambda: model().set_weights([np.ones((3, 1)), np.ones(1)]),
        ValueError,
        "has shape (4, 1) but got (3, 1)",
    ),
    "count_params": (
        lambda: keras.Sequential([L.Dense(3)]).count_params(),
        ValueError,
        "has no weights yet",
    ),
    "summary": (
        lambda: keras.Sequential([L.Dense(3)]).output_shape,
        ValueError,
        "is not built",
    ),
    "get_layer": (lambda: model().get_layer("nope"), ValueError, "has no layer"),
    "get_layer idx": (
        lambda: model().get_layer(index=9),
        ValueError,
        "the model has 1 layers",
    ),
    "get_layer none": (
        lambda: model().get_layer(),
        ValueError,
        "get_layer takes a name or an index",
    ),
    "load missing": (
        lambda: keras.models.load_model("nope.keras"),
        ValueError,
        "is not there",
    ),
    "load weights missing": (
        lambda: model().load_weights("nope.weights.h5"),
        ValueError,
        "is not there",
    ),
    "save ext": (
        lambda: model().save("a.zzz"),
        ValueError,
        "expected a file ending in",
    ),
    "save none": (lambda: model().save(None), ValueError, "expected a path"),
    "save bytes": (lambda: model().save(io.BytesIO()), ValueError, "expected a path"),
    "save weights": (
        lambda: model().save_weights("a.txt"),
        ValueError,
        "expected a file ending in",
    ),
    "dense str": (lambda: L.Dense("3"), ValueError, "expected an integer above 0"),
    "dense neg": (lambda: L.Dense(-3), ValueError, "expected an integer above 0"),
    "dense float": (lambda: L.Dense(2.5), ValueError, "expected an integer above 0"),
    "dense act": (lambda: L.Dense(2, activation="rleu"), ValueError, "Did you mean"),
    "dense act obj": (lambda: L.Dense(2, activation=3), ValueError, "expected a name"),
    "dense init": (
        lambda: L.Dense(2, kernel_initializer="glorot"),
        ValueError,
        "Did you mean",
    ),
    "dense reg": (
        lambda: L.Dense(2, kernel_regularizer="l3"),
        ValueError,
        "Unknown regularizer 'l3'",
    ),
    "dense kw": (lambda: L.Dense(2, activaton="relu"), ValueError, "Did you mean"),
    "dense none": (lambda: L.Dense(None), ValueError, "expected an integer above 0"),
    "dropout": (lambda: L.Dropout(1.5), ValueError, "expected a number from 0 to 1"),
    "dropout str": (
        lambda: L.Dropout("0.5"),
        ValueError,
        "expected a number from 0 to 1",
    ),
    "conv pad": (
        lambda: L.Conv2D(2, 3, padding="valdi"),
        ValueError,
        "expected one of",
    ),
    "conv kernel": (
        lambda: L.Conv2D(2, "3"),
        ValueError,
        "expected an integer of at least 1",
    ),
    "conv strides": (
        lambda: L.Conv2D(2, 3, strides=0),
        ValueError,
        "expected an integer of at least 1",
    ),
    "conv groups": (
        lambda: L.Conv2D(3, 3, groups=2)(np.ones((1, 8, 8, 4))),
        ValueError,
        "expected filters to be a multiple of groups",
    ),
    "lstm str": (lambda: L.LSTM("3"), ValueError, "expected an integer above 0"),
    "embedding neg": (
        lambda: L.Embedding(-1, 3),
        ValueError,
        "expected an integer above 0",
    ),
    "dtype": (
        lambda: L.Dense(2, dtype="float31"),
        ValueError,
        "expected a dtype such as 'float32'",
    ),
    "policy": (
        lambda: keras.mixed_precision.set_global_policy("mixed"),
        ValueError,
        "expected a dtype such as 'float32'",
    ),
    "auc 3": (
        lambda: seq(
            L.Dense(3, activation="softmax"),
            loss="sparse_categorical_crossentropy",
            metrics=[keras.metrics.AUC()],
        ).fit(X, np.arange(8) % 3, verbose=0),
        ValueError,
        "predictions of shape (None, 3)",
    ),
    "precision 3": (
        lambda: seq(
            L.Dense(3, activation="softmax"),
            loss="sparse_categorical_crossentropy",
            metrics=[keras.metrics.Precision()],
        ).fit(X, np.arange(8) % 3, verbose=0),
        ValueError,
        "predictions of shape (None, 3)",
    ),
    "add_loss": (
        lambda: L.Dense(2).add_loss(lambda: 1),
        ValueError,
        "add_loss got a function",
    ),
    "predict dict": (
        lambda: model().predict({"nope": X}, verbose=0),
        ValueError,
        "got no input",
    ),
    "two inputs": (
        lambda: (lambda a, b: keras.Model([a, b], a + b).predict([X], verbose=0))(
            keras.Input((4,)), keras.Input((4,))
        ),
        ValueError,
        "Pass them as a list in this order",
    ),
    "three inputs": (
        lambda: (lambda a, b: keras.Model([a, b], a + b).predict([X, X, X], verbose=0))(
            keras.Input((4,)), keras.Input((4,))
        ),
        ValueError,
        "Pass them as a list in this order",
    ),
    "sub summary": (
        lambda: SubModel().predict(np.ones((2,)), verbose=0),
        ValueError,
        "expected 2 or more",
    ),
    "no super": (
        lambda: type(
            "NS",
            (keras.Model,),
            {
                "__init__": lambda s: setattr(s, "d", L.Dense(1)),
                "call": lambda s, x: s.d(x),
            },
        )()(X),
        AttributeError,
        "call super().__init__()",
    ),
    "ops shape": (
        lambda: ops.matmul(np.ones((2, 3)), np.ones((4, 5))),
        ValueError,
        "x2 float64 (4, 5)",
    ),
    "ops sym": (
        lambda: ops.matmul(keras.Input((4,)), keras.KerasTensor((3, 2))),
        ValueError,
        "x1 float32 (None, 4)",
    ),
    "ops add": (lambda: keras.Input((4,)) + keras.Input((3,)), ValueError, "(None, 3)"),
    "ops add unknown": (
        lambda: keras.Input((None, 4)) + keras.Input((None, 3)),
        ValueError,
        "(None, None, 4)",
    ),
    "ops concat": (lambda: ops.concatenate([X, T]), ValueError, "concatenate got"),
    "ops axis": (
        lambda: ops.sum(X, axis=5),
        ValueError,
        "sum got x float32 (8, 4), axis=5",
    ),
    "ops axis sym": (
        lambda: ops.sum(keras.Input((4,)), axis=5),
        ValueError,
        "sum got x float32 (None, 4), axis=5",
    ),
    "ops reshape": (lambda: ops.reshape(X, (5, 5)), ValueError, "newshape=(5, 5)"),
    "ops cast": (
        lambda: ops.cast(X, "floot"),
        TypeError,
        "expected a name like 'float32' or 'int32'",
    ),
    "ops einsum": (lambda: ops.einsum("ij,jk", X, X), ValueError, "subscripts='ij,jk'"),
    "ops split": (lambda: ops.split(X, 3, axis=1), ValueError, "split got"),
    "ops take": (lambda: ops.take(X, "a"), ValueError, "indices='a'"),
    "ops none": (lambda: ops.exp(None), ValueError, "exp got x=None"),
    "ops str": (lambda: ops.exp("a"), ValueError, "exp got x='a'"),
    "ops swap": (
        lambda: ops.swapaxes(keras.KerasTensor((3, 4)), 5, 0),
        ValueError,
        "axis1=5",
    ),
    "var shape": (
        lambda: keras.Variable(np.ones(3)).assign(np.ones(4)),
        ValueError,
        "got a value of shape",
    ),
    "to_categorical": (
        lambda: keras.utils.to_categorical([0, 1, 5], 3),
        ValueError,
        "expected 0 to 2 for num_classes=3",
    ),
    "pad_seq": (
        lambda: keras.utils.pad_sequences(3),
        ValueError,
        "expected a sequence of sequences",
    ),
    "metric upd": (
        lambda: keras.metrics.Accuracy()(np.ones((3,)), np.ones((4,))),
        ValueError,
        "expected the same shape",
    ),
    "loss call": (
        lambda: keras.losses.MeanSquaredError()(np.ones((3, 2)), np.ones((4, 5))),
        ValueError,
        "(4, 5)",
    ),
    "loss call none": (
        lambda: keras.losses.MeanSquaredError()(None, X),
        ValueError,
        "None",
    ),
    "reduction": (
        lambda: keras.losses.MeanSquaredError(reduction="avg"),
        ValueError,
        "expected one of",
    ),
    "earlystop str": (
        lambda: keras.callbacks.EarlyStopping(patience="3"),
        ValueError,
        "expected an integer",
    ),
    "checkpoint": (
        lambda: keras.callbacks.ModelCheckpoint("a"),
        ValueError,
        "a file of a whole model ends in",
    ),
    "lrs": (
        lambda: model().fit(
            X,
            Y,
            callbacks=[keras.callbacks.LearningRateScheduler(lambda e: "a")],
            verbose=0,
        ),
        ValueError,
        "expected a float",
    ),
    "deserialize": (
        lambda: L.deserialize({"class_name": "Dnse", "config": {}}),
        ValueError,
        "Did you mean 'Dense'",
    ),
    "clone": (lambda: keras.models.clone_model(3), ValueError, "expected a Model"),
    "train_on_batch": (lambda: model().train_on_batch(X), ValueError, "y is None"),
    "train_on_batch none": (
        lambda: model().train_on_batch(None),
        ValueError,
        "expected an array",
    ),
    "eval none": (lambda: model().evaluate(verbose=0), ValueError, "expected arrays"),
    "call kw": (lambda: model()(X, trainin=True), TypeError, "Did you mean"),
    "rnn cell": (lambda: L.RNN(L.Dense(2)), ValueError, "A cell needs"),
    "wrapper": (lambda: L.Wrapper(3), ValueError, "expected a layer"),
    "lambda": (lambda: L.Lambda("x**2"), ValueError, "expected a function"),
    "masking": (lambda: L.Masking("a")(T), ValueError, "not_equal got"),
    "normalization kw": (
        lambda: L.BatchNormalization(momentum="a")(X),
        ValueError,
        "expected a number",
    ),
    "input shape str": (lambda: keras.Input("4"), ValueError, "as a shape"),
    "input float": (lambda: keras.Input((4.5,)), ValueError, "4.5"),
    "numpy in call": (
        lambda: fit_user(lambda x: x.numpy()),
        AttributeError,
        "ops.convert_to_numpy",
    ),
    "weights before build": (
        lambda: L.Dense(3).kernel,
        AttributeError,
        "call it on data first",
    ),
    "predict nothing": (lambda: model().predict(), TypeError, "predict() missing"),
}


def said(error):
    """The messages and notes of an error and of those that it came from."""
    texts = []
    while error is not None:
        texts += [str(error), *getattr(error, "__notes__", ())]
        error = None if error.__suppress_context__ else error.__context__
    return "\n".join(texts)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_words_of_models(mistake):
    run, kind, phrase = MISTAKES[mistake]
    with pytest.raises(kind) as caught:
        run()
    words = said(caught.value)
    assert phrase in words
    assert not INTERNAL.search(words), words


def test_an_unknown_argument_is_an_error_of_keras_and_of_python():
    for kind in (ValueError, TypeError):
        with pytest.raises(kind, match="unknown argument 'activaton'.*'activation'"):
            L.Dense(2, activaton="relu")


def test_a_value_asked_for_is_told_with_the_layer():
    with pytest.raises(TypeError, match="User '.*if'.*ops.cond") as caught:
        seq(User(lambda x: x if ops.max(x) > 0 else -x, name="if")).fit(X, Y, verbose=0)
    assert isinstance(caught.value, ValueError)
