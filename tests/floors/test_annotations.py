"""Annotations say what a thing is: a bare `Any` is the exception."""

import ast
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "carnyx"
MOST = 0.12  # of the annotations of public functions and methods
OWN = {"__init__", "__call__"}


def is_public(name):
    return not name.startswith("_") or name in OWN


def public_functions(node):
    """The functions and methods that a user may call, at any depth of classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef) and is_public(child.name):
            yield child
        elif isinstance(child, ast.ClassDef) and is_public(child.name):
            yield from public_functions(child)
        elif isinstance(child, ast.If | ast.Try):
            yield from public_functions(child)


def annotations(function):
    given = function.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    parameters += [p for p in (given.vararg, given.kwarg) if p is not None]
    found = [*(p.annotation for p in parameters), function.returns]
    return [a for a in found if a is not None]


def test_few_annotations_are_a_bare_any():
    known, bare = 0, Counter()
    for file in PACKAGE.rglob("*.py"):
        for function in public_functions(ast.parse(file.read_text())):
            for annotation in annotations(function):
                known += 1
                if isinstance(annotation, ast.Name) and annotation.id == "Any":
                    bare[str(file.relative_to(PACKAGE))] += 1
    share = bare.total() / known
    assert share < MOST, (
        f"{share:.1%} of {known} annotations are a bare Any. Name what the thing is: "
        "carnyx/typing.py has names; `object` is what anything may be that is only "
        f"looked at. Most stand in {bare.most_common(8)}."
    )
