"""`python -m benchmarks.scaling [--write]`: the tables of docs/scaling.md.

Nothing is trained: the models have no values, and the chips need not be here.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import jax

import carnyx as keras
from benchmarks.large_models import decoder, resnet50

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
LENGTH = 2048
TOKENS = 2  # samples of the decoder a device


def models() -> dict[str, tuple[Any, Any, float]]:
    """Compiled models, a batch for a device, and seconds to build them."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = {}
    for name, build in (("resnet50", resnet50), ("decoder", decoder)):
        begin = time.perf_counter()
        with keras.abstract():
            model = build(keras)
        seconds = time.perf_counter() - begin
        small = name == "resnet50"
        rule = keras.optimizers.SGD(0.1, momentum=0.9) if small else "adam"
        model.compile(rule, loss)
        tokens = jax.ShapeDtypeStruct((TOKENS, LENGTH), "int32")
        found[name] = model, 256 if small else (tokens, tokens), seconds
    return found


CASES = {
    "resnet50-h100": ("resnet50", {"chip": "h100"}),
    "resnet50-strong": ("resnet50", {"chip": "h100", "scaling": "strong"}),
    "decoder-h100": ("decoder", {"chip": "h100"}),
    "decoder-v5p": ("decoder", {"chip": "tpu-v5p"}),
}


def markdown(rows: list[list[str]]) -> str:
    """A table."""
    lines = [" | ".join(row) for row in rows]
    lines.insert(1, " | ".join(["--:"] * len(rows[0])))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Print the tables, or write them where the page has their marks."""
    page = PAGE.read_text() if "--write" in sys.argv else ""
    built = models()
    for case, (name, options) in CASES.items():
        model, batch, seconds = built[name]
        if options.get("scaling") == "strong":
            batch = 8192
        begin = time.perf_counter()
        found = keras.distribution.estimate(model, batch, **options)
        taken = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{case}: {model.count_params():,} weights built in {seconds:.1f} s, "
            f"estimated in {taken:.1f} s, {peak:.2f} GB of memory at most"
        )
        tables = f"{markdown(found.steps())}\n\n{markdown(found.memory())}"
        if page:
            mark = rf"(<!-- {case} -->\n).*?(<!-- end -->)"
            page = re.sub(mark, rf"\1\n{tables}\n\n\2", page, flags=re.DOTALL)
        else:
            print(found, end="\n\n")
    if page:
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
