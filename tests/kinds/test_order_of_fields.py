"""The positional order of arguments.

The kind: each family put inherited arguments into Keras's order by a mechanism of its
own. One attribute says it now; the orders of all layers, losses, metrics and optimizers
are compared with Keras.
"""

import inspect

import keras
import pytest

import carnyx
from carnyx.configurable import Configurable, field

# Of other backends, or later ones here.
ABSENT = {
    "lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size",
    "self", "args", "kwargs",
}  # fmt: skip


def positional(cls):
    return [
        p.name
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in ABSENT
    ]


@pytest.mark.parametrize("family", ["layers", "losses", "metrics", "optimizers"])
def test_the_order_is_that_of_keras(family):
    ours, theirs = getattr(carnyx, family), getattr(keras, family)
    compared = 0
    for name, cls in vars(ours).items():
        other = getattr(theirs, name, None)
        if not inspect.isclass(cls) or other is None:
            continue
        wanted = [n for n in positional(other) if n in positional(cls)]
        assert [n for n in positional(cls) if n in wanted] == wanted, name
        compared += 1
    assert compared > 10


class Family(Configurable, register=False):
    first: int = field(1)
    last: int = field(2)

    field_order = ("first", ..., "middle", "last")


class Member(Family, register=False):
    own: int = field(3)
    middle: int = field(4)


class Restating(Member, register=False):
    last: int = field(5)
    more: int = field(6)


def test_an_order_is_inherited_and_restating_moves():
    assert positional(Family) == ["first", "last"]
    assert positional(Member) == ["first", "own", "middle", "last"]
    assert positional(Restating) == ["first", "own", "last", "more", "middle"]
    assert Restating(1, 2, 3, 4, 5).middle == 5
    assert Member.from_config(Member(own=9).get_config()).own == 9
