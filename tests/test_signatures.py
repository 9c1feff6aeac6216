"""Every public name of Keras 3.15 that is here takes its arguments: by name, in its
order, with its defaults. What differs stands in `DIFFERS`, with the reason."""

import inspect

import keras
import pytest

import carnyx
from tools.coverage import PAGE, names_by_module, page

LATER = "what quantization adds to layers is yet to come"
NAMED = "name and dtype are taken by keyword, as of every layer"
SAME = "one number stands for the same number along every axis"
DIFFERS = {
    "layers.Dense": LATER,
    "layers.EinsumDense": LATER,
    "layers.Embedding": LATER + "; activity_regularizer comes earlier, as a field",
    "layers.Discretization": NAMED,
    "layers.HashedCrossing": NAMED,
    "layers.Pipeline": NAMED,
    "layers.RandomCrop": NAMED,
    "layers.IntegerLookup": NAMED,
    "layers.StringLookup": NAMED,
    "layers.TextVectorization": NAMED,
    **{f"layers.{k}Pool{r}D": NAMED for k in ("Max", "Average") for r in (1, 2, 3)},
    **{f"layers.{k}Pooling{r}D": NAMED for k in ("Max", "Average") for r in (1, 2, 3)},
    **{f"layers.AvgPool{r}D": NAMED for r in (1, 2, 3)},
    **{f"layers.SpatialDropout{r}D": NAMED for r in (1, 2, 3)},
    **{f"layers.{k}{r}D{t}": SAME
       for k in ("Conv", "Convolution", "DepthwiseConv", "SeparableConv",
                 "SeparableConvolution")
       for r in (2, 3) for t in ("", "Transpose")},
    "distribution.LayoutMap": "the mesh may be left out: the placement's is taken",
    "tree.assert_same_structure": "check_types has no effect in Keras; it is left out",
}  # fmt: skip
VARIADIC = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


def find(library, module, name):
    found = library
    for part in (*module.split("."), name):
        found = found if part in ("", ".") else getattr(found, part, None)
    return found


def arguments(function):
    """Names in order, and defaults as text; None where Python cannot tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return {p.name: plain(p.default) for p in parameters if p.kind not in VARIADIC}


def plain(default):
    if default is inspect.Parameter.empty:
        return "required"
    return str(default).lower().replace("(", "[").replace(")", "]").replace(",]", "]")


def compared(module):
    for name in names_by_module()[module]:
        theirs, ours = find(keras, module, name), find(carnyx, module, name)
        if callable(theirs) and ours is not None and not inspect.ismodule(ours):
            yield f"{module}.{name}".lstrip("."), arguments(theirs), arguments(ours)


@pytest.mark.parametrize("module", sorted(names_by_module()))
def test_arguments_are_those_of_keras(module):
    wrong = {}
    for path, theirs, ours in compared(module):
        if theirs is None or ours is None or path in DIFFERS:
            continue
        order = list(ours)[: len(theirs)] == list(theirs)
        other = {k: (v, ours.get(k)) for k, v in theirs.items() if ours.get(k) != v}
        if not order or other:
            wrong[path] = other or list(ours)
    assert not wrong


def test_what_differs_is_there_and_differs():
    paths = {p: (a, b) for m in names_by_module() for p, a, b in compared(m)}
    same = [p for p in DIFFERS if p in paths and paths[p][0] == paths[p][1]]
    assert not same


def test_the_page_of_what_is_there_is_true():
    assert PAGE.read_text() == page(), "python tools/coverage.py --write"
