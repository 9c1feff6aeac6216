"""Kind: which input a value is for.

A model made of a dict dealt out lists in the order of sorted keys, read dicts by the
names of inputs where those crossed with keys, and took no notice of what was too much
or of None. Keys win; what is not clear is refused; what is too much is named.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx as keras

ONE, ZERO = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")


def model(form: Any, names: str = "pq") -> Any:
    """p - 2 q of two inputs in a structure."""
    p, q = (keras.Input((1,), name=name) for name in names)
    return keras.Model(form(p, q), p - 2 * q)


FORMS = {
    "sorted": lambda p, q: {"p": p, "q": q},
    "unsorted": lambda p, q: {"z": p, "a": q},
    "list": lambda p, q: [p, q],
    "nested": lambda p, q: {"in": [p, {"q": q}]},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["call", "predict", "evaluate"])
def test_the_models_own_structure(form: str, how: str) -> None:
    m, given = model(FORMS[form]), FORMS[form](ONE, ZERO)
    m.compile("sgd", "mae")
    if how == "evaluate":
        assert m.evaluate(given, ZERO, verbose=0) == 1.0
    else:
        assert (m(given) if how == "call" else m.predict(given, verbose=0)) == 1.0


def test_a_list_for_a_dict_in_sorted_order_warns() -> None:
    m = model(FORMS["sorted"])
    with pytest.warns(UserWarning, match=r"made of a dict with the keys \['p', 'q'\]"):
        assert m([ONE, ZERO]) == 1.0


def test_a_list_for_a_dict_in_another_order_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keys \['z', 'a'\] and got a list"):
        model(FORMS["unsorted"]).predict([ONE, ZERO], verbose=0)


@pytest.mark.filterwarnings("ignore:Model.inputs")
def test_keys_win_over_names() -> None:
    m = model(lambda p, q: {"q": p, "p": q})
    assert m.predict({"q": ONE, "p": ZERO}, verbose=0) == 1.0


def test_crossed_names_are_told_when_the_model_is_made() -> None:
    with pytest.warns(UserWarning, match="named 'p' under the key 'q'"):
        model(lambda p, q: {"q": p, "p": q})


def test_names_are_no_keys() -> None:
    with pytest.raises(ValueError, match=r"got no input 'a'.*takes \['z', 'a'\]"):
        model(FORMS["unsorted"])({"p": ONE, "q": ZERO})


@pytest.mark.parametrize("form", ["sorted", "list"])
@pytest.mark.parametrize("extra", ["a", "r"])  # before the others, and after
def test_what_is_too_much_is_named_and_left_out(form: str, extra: str) -> None:
    given = {"p": ONE, "q": ZERO, extra: ONE}
    with pytest.warns(UserWarning, match=rf"got the inputs \['{extra}'\] beside"):
        assert model(FORMS[form])(given) == 1.0


@pytest.mark.parametrize("form", ["sorted", "list"])
def test_what_is_missing_is_named(form: str) -> None:
    with pytest.raises(ValueError, match="got no input 'q'"):
        model(FORMS[form])({"p": ONE})


class Add(keras.layers.Layer):
    def call(self, x: Any, other: Any = None) -> Any:
        return x if other is None else x + other


def with_optional(name: str, optional: bool, as_list: bool) -> tuple[Any, Any]:
    x = keras.Input((1,), name="m")
    other = keras.Input((1,), name=name, optional=optional)
    structure = [other, x] if as_list else {name: other, "m": x}
    m = keras.Model(structure, Add()(x, other))
    m.compile("sgd", "mse")
    return m, [None, ONE] if as_list else {name: None, "m": ONE}


@pytest.mark.parametrize("name", ["a", "z"])
@pytest.mark.parametrize("as_list", [False, True], ids=["dict", "list"])
@pytest.mark.filterwarnings("ignore:.*made of a dict")
def test_none_for_an_optional_input(name: str, as_list: bool) -> None:
    m, given = with_optional(name, True, as_list)
    assert m(given) == m.predict(given, verbose=0) == 1.0
    assert m.fit(given, ONE, verbose=0).history["loss"] == [0.0]
    assert m.evaluate(given, ONE, verbose=0) == 0.0


@pytest.mark.parametrize("how", ["call", "predict", "fit", "evaluate"])
def test_none_for_a_required_input(how: str) -> None:
    m, given = with_optional("a", False, False)
    with pytest.raises(ValueError, match="input 'a' is not optional"):
        if how == "call":
            m(given)
        elif how == "predict":
            m.predict(given, verbose=0)
        else:
            getattr(m, how)(given, ONE, verbose=0)
