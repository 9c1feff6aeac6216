"""Connectionist temporal classification: sequences without alignment.

References: Graves et al. 2006, doi:10.1145/1143844.1143891
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from carnyx._core.op import op
from carnyx.errors import ArgumentError
from carnyx.ops._dtypes import result_type, tensor
from carnyx.ops._once import once
from carnyx.typing import Tensor

__all__ = ["ctc_decode", "ctc_loss"]

_IMPOSSIBLE = -1e5  # log of a probability that rounds to 0, with finite gradients


@op
def ctc_loss(
    target: Tensor,
    output: Tensor,
    target_length: Tensor,
    output_length: Tensor,
    mask_index: int = 0,
) -> Tensor:
    """-log of the probability of all alignments of `target` with `output`.

    Shapes: (b, labels), (b, time, classes), (b,), (b,) -> (b,)

    Args:
        output: logits.
        mask_index: the class that stands for blank.
    """
    labels, output = tensor(target).astype("int32"), tensor(output)
    log_p = jax.nn.log_softmax(output.astype(result_type(output.dtype, "float32")))
    lengths = tensor(target_length).astype("int32")
    frames = tensor(output_length).astype("int32")
    # Blanks around and between the labels: _ a _ b _
    batch, n = labels.shape
    states = jnp.full((batch, 2 * n + 1), mask_index).at[:, 1::2].set(labels)
    emitted = jnp.take_along_axis(log_p, states[:, None, :], axis=2)  # b t s
    # A blank may be left out between two different labels. What is a label goes by
    # place: a padding inside of the labels is one, as in Keras.
    place = jnp.arange(2 * n + 1)
    skips = (states != jnp.roll(states, 2, 1)) & (place % 2 == 1) & (place >= 2)
    alpha = jnp.where(jnp.arange(2 * n + 1) < 2, emitted[:, 0], _IMPOSSIBLE)

    def shifted(alpha, by):
        return jnp.pad(alpha, ((0, 0), (by, 0)), constant_values=_IMPOSSIBLE)[:, :-by]

    def step(alpha, frame):
        t, emit = frame
        paths = jnp.logaddexp(alpha, shifted(alpha, 1))
        skipping = jnp.where(skips, shifted(alpha, 2), _IMPOSSIBLE)
        new = jnp.logaddexp(paths, skipping) + emit
        return jnp.where((t < frames)[:, None], new, alpha), None

    times = jnp.arange(1, emitted.shape[1])
    alpha, _ = lax.scan(step, alpha, (times, jnp.swapaxes(emitted, 0, 1)[1:]))
    ends = jnp.stack([2 * lengths, jnp.maximum(2 * lengths - 1, 0)], 1)
    last = jnp.take_along_axis(alpha, ends, 1)  # the last blank, the last label
    last = last.at[:, 1].set(jnp.where(lengths > 0, last[:, 1], _IMPOSSIBLE))
    return -jnp.logaddexp(last[:, 0], last[:, 1])


def _greedy(logits, lengths, merge_repeated: bool, blank: int):
    time, logits = logits.shape[1], once(logits)
    inside = jnp.arange(time) < lengths[:, None]
    best = jnp.where(inside, logits.argmax(-1), blank)
    score = -jnp.where(inside, logits.max(-1), 0).sum(1, keepdims=True)
    kept = best != blank
    if merge_repeated:
        same = best[:, 1:] == best[:, :-1]
        kept &= ~jnp.pad(same, ((0, 0), (1, 0)))
    front = jnp.argsort(~kept, axis=1, stable=True)
    best = jnp.where(kept, best, -1)
    return jnp.take_along_axis(best, front, 1)[None], score


def _log_sum(x: jax.Array, axis: int) -> jax.Array:
    return jax.nn.logsumexp(x, axis=axis)


def _beam_step(beams, frame, width: int, blank: int):
    """Extend every prefix by every class, and keep the `width` likeliest.

    `blanks` and `labels` are the log probabilities of a prefix whose last frame was
    a blank, or its last label.
    """
    prefixes, sizes, blanks, labels = beams
    log_p, valid = frame
    rows, time = jnp.arange(width), prefixes.shape[1]
    classes = log_p.shape[0]
    last = jnp.where(sizes > 0, prefixes[rows, sizes - 1], -1)
    total = jnp.logaddexp(blanks, labels)
    stay_blank = total + log_p[blank]
    stay_label = jnp.where(sizes > 0, labels + log_p[last], -jnp.inf)
    # By one more label; the same label again needs a blank between.
    again = last[:, None] == jnp.arange(classes)
    grow = jnp.where(again, blanks[:, None], total[:, None]) + log_p
    grow = grow.at[:, blank].set(-jnp.inf)
    # What grows into a prefix that is a beam already joins that beam.
    shorter = jnp.where(jnp.arange(time) < sizes[:, None] - 1, prefixes, -1)
    parent = (shorter[None] == prefixes[:, None]).all(-1)  # [i, j]: i grows into j
    parent &= (sizes[None] == sizes[:, None] + 1) & jnp.isfinite(total)[None]
    joins = jnp.where(parent, grow[:, last], -jnp.inf)
    stay_label = jnp.logaddexp(stay_label, _log_sum(joins, 0))
    taken = jnp.zeros_like(grow, bool).at[rows[:, None], last[None]].max(parent)
    grow = jnp.where(taken, -jnp.inf, grow)

    scores = jnp.concatenate([jnp.logaddexp(stay_blank, stay_label), grow.ravel()])
    _, chosen = lax.top_k(scores, width)
    grown = chosen >= width
    origin = jnp.where(grown, (chosen - width) // classes, chosen)
    label = (chosen - width) % classes
    new = prefixes[origin]
    at = jnp.minimum(sizes[origin], time - 1)
    new = new.at[rows, at].set(jnp.where(grown, label, new[rows, at]))
    kept = (
        new,
        sizes[origin] + grown,
        jnp.where(grown, -jnp.inf, stay_blank[origin]),
        jnp.where(grown, scores[chosen], stay_label[origin]),
    )
    keep = functools.partial(jnp.where, valid)
    return jax.tree.map(keep, kept, beams), None


def _beam_search(logits, length, width: int, top_paths: int, blank: int):
    """Prefix beam search in one sequence."""
    log_p = jax.nn.log_softmax(logits)
    time = logits.shape[0]
    impossible = jnp.full(width, -jnp.inf, log_p.dtype)
    beams = (
        jnp.full((width, time), -1),
        jnp.zeros(width, int),
        impossible.at[0].set(0),  # the empty prefix
        impossible,
    )
    step = functools.partial(_beam_step, width=width, blank=blank)
    beams, _ = lax.scan(step, beams, (log_p, jnp.arange(time) < length))
    scores, best = lax.top_k(jnp.logaddexp(beams[2], beams[3]), top_paths)
    return beams[0][best], scores


@op
def ctc_decode(
    inputs: Tensor,
    sequence_lengths: Tensor,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Tensor, Tensor]:
    """The likeliest label sequences of a CTC model's logits.

    Shapes: (b, time, classes), (b,) -> (paths, b, time), padded with -1, and scores
    (b, paths): negative sums of logits if greedy, log probabilities of a beam search
    """
    logits = tensor(inputs)
    logits = logits.astype(result_type(logits.dtype, "float32"))
    lengths = tensor(sequence_lengths).astype("int32")
    blank = mask_index % logits.shape[-1]
    if strategy == "greedy":
        return _greedy(logits, lengths, merge_repeated, blank)
    if strategy != "beam_search":
        raise ArgumentError(
            f"ctc_decode got strategy={strategy!r}; expected 'greedy' or 'beam_search'."
        )
    search = functools.partial(
        _beam_search, width=beam_width, top_paths=top_paths, blank=blank
    )
    paths, scores = jax.vmap(search)(logits, lengths)
    return jnp.swapaxes(paths, 0, 1), scores
