"""Seeds: generators whose state is a variable, so that random layers are pure."""

from __future__ import annotations

import functools
import random as python_random
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import registry
from carnyx._core.naming import name_scope, on_clear
from carnyx._core.positions import STATE_NAME
from carnyx._core.scope import current, is_tracer, note_birth
from carnyx._core.variable import Variable
from carnyx._numbers import integer
from carnyx.configurable import Configurable
from carnyx.errors import ArgumentError, nearest

_global: dict[str, Any] = {}
_UNSEEDED = (
    "A random number is drawn without a seed, or from a generator that was not given, "
    "inside a function that computes with given values (jax.jit, scan, stateless_call, "
    "carnyx.pure, …): every call would give the same numbers. Pass seed=, a number or "
    "a SeedGenerator that a layer keeps; for a function of your own, give "
    "carnyx.pure the generator's `state`, or take a key as an argument: "
    "keras.random.normal(shape, seed=key)."
)


class SeedGenerator(Configurable):
    """A source of random keys whose state a training step carries along.

    Args:
        seed: an integer; None draws one.
        name: begins the path of the state.

    >>> generator = SeedGenerator(7)
    >>> bool((generator.next() != generator.next()).any())
    True
    """

    keras_family = "random"

    keras_module = "keras.random"

    def __init__(
        self, seed: int | None = None, name: str | None = None, **keras: Any
    ) -> None:
        keras.pop("backend", None)  # there is one
        if keras:
            unknown = next(iter(keras))
            raise ArgumentError(
                f"SeedGenerator got an unknown argument {unknown!r}."
                f"{nearest(unknown, ['seed', 'name'])}"
            )
        if seed is None:
            seed = make_default_seed()
        note_birth(self)
        self.name = name or "seed_generator"
        self._initial_seed = seed = integer(seed, "SeedGenerator: seed")
        with name_scope(self.name):
            self.state = Variable(
                _seed_state(seed),
                trainable=False,
                autocast=False,
                name=STATE_NAME,
            )

    @property
    def seed(self) -> int:
        """The seed it began with."""
        return self._initial_seed

    def next(self, ordered: bool = True) -> jax.Array:
        """A key for `jax.random`; every call gives another. While an element of a
        feed is made, the keys are those of its place."""
        state, position = current().state, current().position
        if state is not None and not state.gives(self.state):
            if state.trace is None:
                raise ArgumentError(_UNSEEDED)
            return state.trace.draw(self.state, state)
        place = position if state is None else None
        key = self.state.value if place is None else place.value(self.state)
        following = key + jnp.array([0, 1], "uint32")
        if state is None and is_tracer(following):
            raise ArgumentError(_UNSEEDED)
        if place is None:
            self.state.assign(following)
        else:
            place.keep(self.state, following)
        return key

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._initial_seed, "name": self.name}


registry.add_builtin(SeedGenerator, "random")


class Keys(SeedGenerator, register=False):
    """Keys made of one key, without a state: for what draws inside a loop."""

    def __init__(self, key: jax.Array) -> None:
        self._key, self._count = key, 0

    def next(self, ordered: bool = True) -> jax.Array:
        self._count += 1
        return jax.random.fold_in(self._key, self._count)


SeedLike: TypeAlias = int | SeedGenerator
"""What says where random numbers begin."""


def _seed_state(seed: int) -> np.ndarray:
    return np.array([seed % 2**32, 0], "uint32")


def make_default_seed() -> int:
    """A seed from Python's generator, which `set_random_seed` also sets."""
    draw = functools.partial(python_random.randint, 1, int(1e9))
    watch = current().watch
    return draw() if watch is None else watch.own_draw(draw)


def global_seed_generator() -> SeedGenerator:
    """The generator behind every `seed=None`."""
    if "generator" not in _global:
        _global["generator"] = SeedGenerator(
            _global.get("seed"), name="global_seed_generator"
        )
    return _global["generator"]


@on_clear
def _begin_anew() -> None:
    """The one generator again from its seed: compiled programs know it."""
    generator = _global.get("generator")
    if generator is not None:
        seed = _global.get("seed")
        generator._initial_seed = make_default_seed() if seed is None else seed
        generator.state.assign(_seed_state(generator._initial_seed))


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and Carnyx's generators.

    >>> import carnyx as keras
    >>> keras.utils.set_random_seed(0)
    """
    seed = integer(seed, "set_random_seed")
    python_random.seed(seed)
    np.random.seed(seed % 2**32)
    _global["seed"] = seed
    _begin_anew()


def draw_seed(seed: object) -> jax.Array:
    """A key from None (the global generator), an integer, or a `SeedGenerator`."""
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, int | np.integer):
        return jnp.asarray(_seed_state(int(seed)))
    if isinstance(seed, jax.Array):
        return seed
    raise ArgumentError(
        f"Got seed={seed!r}; expected None, an integer, a SeedGenerator or a key."
    )
