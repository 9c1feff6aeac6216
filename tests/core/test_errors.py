"""Errors as objects: they are where their tracebacks say, and cross processes."""

import importlib
import pickle

import pytest

from carnyx import errors

KINDS = [
    k
    for k in vars(errors).values()
    if isinstance(k, type) and k.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_an_error_is_found_by_its_printed_name_and_goes_through_a_pickle(kind):
    """Workers of a pool, and joblib's, hand errors over as pickles."""
    assert getattr(importlib.import_module(kind.__module__), kind.__qualname__) is kind
    error = pickle.loads(pickle.dumps(kind("what was wrong")))
    assert type(error) is kind and "what was wrong" in str(error)
