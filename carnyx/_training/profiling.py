"""`Model.profile`: where the time and the memory of a training step go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from carnyx._training import dry_run
from carnyx._training.protocols import Program
from carnyx.errors import ArgumentError, DataError
from carnyx.typing import Data

_MEMORY = {
    "arguments": "argument_size_in_bytes",
    "outputs": "output_size_in_bytes",
    "reused": "alias_size_in_bytes",
    "temporary": "temp_size_in_bytes",
    "code": "generated_code_size_in_bytes",
}


def profile(
    model: Any, data: Data, batch_size: int | None, steps: int, print_fn: Any
) -> dict[str, Any]:
    """See `Trainer.profile`."""
    if steps < 1:
        raise ArgumentError(f"profile got steps={steps}; expected 1 or more.")
    feed = dry_run.feed_of(data, batch_size)
    program = dry_run.prepared(model, feed)
    with dry_run.unchanged(model):
        first = next(dry_run.batches(feed, 1), None)
        if first is None:
            raise DataError("The data to profile with gave no batch; is it empty?")
        report = _compiling(program, first)
        report["fused_steps"] = program.steps_in_chunk(first)
        jax.block_until_ready(program(first))
        report |= _running(program, dry_run.batches(feed, steps))
    variables = model._held().store.variables
    report["memory"]["variables"] = sum(v.nbytes for v in variables)
    _print(report, f"{model.name}, batches of {_size(first)}", print_fn)
    return report


def _size(batch: Any) -> int:
    return jax.tree_util.tree_leaves(batch)[0].shape[0]


def _compiling(program: Program, batch: Any) -> dict[str, Any]:
    """Seconds to trace and to compile; memory and work as the compiler sees them."""
    if not program.compiled:
        return {"trace": 0.0, "compile": 0.0, "flops": None, "memory": {}}
    begin = time.perf_counter()
    lowered = program.lower(batch)
    if lowered is None:
        return _compiling_parts(program, batch)
    middle = time.perf_counter()
    compiled = lowered.compile()
    end = time.perf_counter()
    sizes, costs = compiled.memory_analysis(), compiled.cost_analysis() or {}
    memory = {} if sizes is None else {k: getattr(sizes, v) for k, v in _MEMORY.items()}
    if memory:
        used = memory["arguments"] + memory["outputs"] + memory["temporary"]
        memory["peak"] = used - memory["reused"]
    flops = costs.get("flops")
    return {
        "trace": middle - begin,
        "compile": end - middle,
        "flops": flops,
        "memory": memory,
    }


def _compiling_parts(program: Program, batch: Any) -> dict[str, Any]:
    """Where a step is several programs, on several devices: how much longer the first
    one takes, tracing included."""
    times = [time.perf_counter()]
    for _ in range(2):
        jax.block_until_ready((program(batch), program.held.store.values))
        times.append(time.perf_counter())
    first, second = np.diff(times).tolist()
    seconds = max(first - second, 0.0)
    return {"trace": 0.0, "compile": seconds, "flops": None, "memory": {}}


def _running(program: Program, batches: Any) -> dict[str, Any]:
    """Median seconds of the parts of a step, each waited for before the next."""
    rows: list[list[float]] = []
    while True:
        times = [time.perf_counter()]
        batch = next(batches, None)
        if batch is None:
            break
        batch = jax.block_until_ready(jax.device_put(batch))
        times.append(time.perf_counter())
        logs = program(batch)
        times.append(time.perf_counter())
        jax.block_until_ready((logs, program.held.store.values))
        times.append(time.perf_counter())
        rows.append(np.diff(times).tolist())
    medians = np.median(rows, axis=0).tolist()
    names = ("data", "host", "device")
    return dict(zip(names, medians)) | {"step": sum(medians), "steps": len(rows)}


_MEANING = {
    "trace": "once: Python runs the step symbolically",
    "compile": "once: XLA makes a program of it",
    "data": "waiting for a batch, moving it to the device (fit overlaps this)",
    "host": "handing the step over; on a CPU, often part of the computation",
    "device": "computing",
    "step": "all of a step",
    "variables": "weights, optimizer, metrics, seeds",
    "arguments": "what the step reads: variables and the batch",
    "outputs": "what it gives: variables and logs",
    "reused": "outputs written over arguments",
    "temporary": "activations, gradients and scratch",
    "code": "the program itself",
    "peak": "arguments + outputs + temporary - reused",
}


def _print(report: dict[str, Any], title: str, print_fn: Callable | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "", "", title=title, show_header=False)
    table.columns[1].justify = "right"
    rows = [(name, _milliseconds(report[name])) for name in list(_MEANING)[:6]]
    if report["flops"]:
        rate = report["flops"] / max(report["step"], 1e-9)
        rows.append(("work", f"{report['flops'] / 1e6:,.1f} MFLOP"))
        rows.append(("speed", f"{rate / 1e9:,.1f} GFLOP/s"))
    if report["fused_steps"] > 1:
        rows.append(("fused", f"{report['fused_steps']} steps"))
    memory = report["memory"]
    parts = [name for name in _MEANING if name in memory]
    rows += [(name, f"{memory[name] / 1e6:,.2f} MB") for name in parts]
    more = {"fused": "in one program, where fit has the data in memory"}
    for name, value in rows:
        table.add_row(name, value, (_MEANING | more).get(name, ""))
    console = Console(width=None if print_fn is None else 100)
    if print_fn is None:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    print_fn(capture.get())


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.3f} ms"
