"""A traced program as kernels: what it moves through memory, and what it keeps there.

It is cut in the way in which XLA fuses: products, convolutions, reductions, gathers and
loops read arrays from memory and write arrays to it; elementwise work is done on the
way, and writes only what one of them, or the caller, wants to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from carnyx._costs.flops import (
    LOOPS,
    MATRIX,
    Equation,
    Work,
    flatten,
    inner_programs,
    is_literal,
    nbytes,
    work_of,
)

_VIEWS = {"reshape", "squeeze", "expand_dims", "transpose", "copy"}
_CALLS = {"jit", "pjit"}
_ANCHORS = (
    "reduce", "arg", "cum", "sort", "gather", "scatter", "dynamic", "select_and",
    "fft", "triangular", "cholesky", "lu", "eig", "svd", "qr", "top_k", "concatenate",
)  # fmt: skip


class Kernel(NamedTuple):
    """Work between reading memory and writing it.

    Attributes:
        name: of its main operation; "elementwise" without one.
        matrix: operations of its products.
        bytes: read and written.
        dtype: of what a product reads.
        reads, writes: variables of the flat program.
        repeats: how often it runs.
        inside: bytes that a loop keeps while it runs.
    """

    name: str
    matrix: float
    bytes: float
    dtype: str
    reads: frozenset[Any]
    writes: tuple[Any, ...]
    repeats: float = 1
    inside: float = 0.0


class Program:
    """A jaxpr, flat, and cut into kernels.

    Args:
        jaxpr: `jax.make_jaxpr(fn)(…).jaxpr`.

    Attributes:
        work: the operations of all equations.
        kernels: in their order.
        outputs: the variables whose values are given back; None for a constant.
        casts: from an input to the bytes of an element in which it is read.
    """

    def __init__(self, jaxpr: Any) -> None:
        self.inputs = [*jaxpr.invars, *jaxpr.constvars]
        equations, outputs = flatten(jaxpr)
        self.work: Work = work_of(equations)
        self.casts: dict[Any, int] = {}
        inputs = {*self.inputs}
        for name, read, written, _ in equations:
            if name == "convert_element_type" and not is_literal(read[0]):
                if read[0] in inputs:
                    self.casts[read[0]] = written[0].aval.dtype.itemsize
        fuser = _Fuser(equations, self.inputs, outputs)
        self.kernels = fuser.kernels
        self.outputs = [fuser.value(x) for x in outputs]

    def peak(self, share: Callable[[Any], float] = lambda _: 1.0) -> float:
        """The most bytes of arrays between input and output that live at one time.

        Outputs are not counted: they take the place of inputs.

        Args:
            share: from a variable to the part of it that is kept.
        """
        kept = {*self.inputs, *self.outputs}
        last = {v: i for i, kernel in enumerate(self.kernels) for v in kernel.reads}
        ends: dict[int, list[Any]] = {}
        for variable, index in last.items():
            ends.setdefault(index, []).append(variable)
        live = most = 0.0
        sizes: dict[Any, float] = {}
        for index, kernel in enumerate(self.kernels):
            ended = sum(sizes.pop(v, 0.0) for v in ends.get(index, ()))
            if kernel.name == "elementwise":  # writes over what it is the last to read
                live, ended = live - ended, 0.0
            for variable in kernel.writes:
                if variable in last and variable not in kept:
                    sizes[variable] = share(variable) * nbytes(variable)
                    live += sizes[variable]
            most = max(most, live + kernel.inside)
            live -= ended
        return most

    def read_for(self, outputs: Iterable[int]) -> set[Any]:
        """What the kernels read that write these outputs, apart from inputs and
        outputs."""
        wanted = {self.outputs[i] for i in outputs}
        found = [k.reads for k in self.kernels if wanted.intersection(k.writes)]
        return set().union(*found) - {*self.inputs, *self.outputs}


class _Fuser:
    """Cuts a flat program into kernels.

    Attributes:
        sources: from another view of a value to the value.
        parents: of a value that is computed on the way, what it is computed from.
        uses: how many equations read a value.
        written: what is in memory.
    """

    def __init__(
        self, equations: list[Equation], inputs: list[Any], outputs: list[Any]
    ) -> None:
        self.kernels: list[Kernel] = []
        self.sources: dict[Any, Any] = {}
        self.parents: dict[Any, list[Any]] = {}
        self.written: set[Any] = set(inputs)
        self.uses: dict[Any, int] = {}
        for equation in equations:
            if equation.name in _VIEWS:
                self.sources[equation.outputs[0]] = self.value(equation.inputs[0])
                continue
            for x in self._values(equation.inputs):
                self.uses[x] = self.uses.get(x, 0) + 1
        for equation in equations:
            if equation.name not in _VIEWS:
                self._add(equation)
        self._write(self._values(outputs))

    def value(self, variable: Any) -> Any:
        """What a variable is a view of; None for a literal."""
        return None if is_literal(variable) else self.sources.get(variable, variable)

    def _values(self, variables: Sequence[Any]) -> list[Any]:
        return [v for v in map(self.value, variables) if v is not None]

    def _add(self, equation: Equation) -> None:
        name, inputs = equation.name, self._values(equation.inputs)
        if name in MATRIX | LOOPS | _CALLS:
            self._write(inputs)
            self._emit(equation, self._behind(inputs))
        elif name.startswith(_ANCHORS) and name != "reduce_precision":
            self._emit(equation, self._behind(inputs))
        else:
            self._fuse(inputs, equation.outputs)

    def _behind(self, values: Sequence[Any]) -> frozenset[Any]:
        """The arrays in memory from which values are computed."""
        found, seen, left = [], set(), list(values)
        while left:
            x = left.pop()
            if x in seen:
                continue
            seen.add(x)
            if x in self.written:
                found.append(x)
            else:
                left += self.parents.get(x, ())
        return frozenset(found)

    def _fuse(self, inputs: list[Any], outputs: list[Any]) -> None:
        for y in outputs:
            self.parents[y] = inputs
            own = nbytes(y)
            large = [r for r in self._behind(inputs) if nbytes(r) >= own / 2]
            # Read often, from many arrays: it is quicker to write it down once.
            if own and len(large) > 2 and self.uses.get(y, 0) > 1:
                self._write([y])

    def _write(self, values: Sequence[Any]) -> None:
        """Put values into memory that are not there yet."""
        for x in values:
            if x in self.written or x not in self.parents:
                continue
            roots = self._behind([x])
            moved = nbytes(x) + sum(map(nbytes, roots))
            self.kernels.append(Kernel("elementwise", 0.0, moved, "", roots, (x,)))
            self.written.add(x)

    def _emit(self, equation: Equation, roots: frozenset[Any]) -> None:
        name, outputs = equation.name, tuple(equation.outputs)
        inside = 0.0
        if name in LOOPS:
            inside, moved, matrix = self._run_inside(equation), 0.0, 0.0
        else:
            moved = sum(map(nbytes, roots)) + sum(map(nbytes, outputs))
            matrix = work_of([equation]).matrix
        if self.kernels and name.startswith("reduce"):
            before = self.kernels[-1]
            if before.name.startswith("reduce") and before.reads == roots:
                moved = sum(map(nbytes, outputs))  # several sums are formed in one go
        dtype = str(equation.inputs[0].aval.dtype) if matrix else ""
        kernel = Kernel(name, matrix, moved, dtype, roots, outputs, inside=inside)
        self.kernels.append(kernel)
        self.written.update(outputs)

    def _run_inside(self, equation: Equation) -> float:
        """The kernels of a loop's body, repeated; what it keeps while it runs."""
        programs = [Program(p) for p in inner_programs(equation.params)]
        repeats = equation.params["length"] if equation.name == "scan" else 1
        if equation.name == "cond":  # the branch that moves most
            programs = [max(programs, key=lambda p: sum(k.bytes for k in p.kernels))]
        nothing: frozenset[Any] = frozenset()
        for program in programs:
            for kernel in program.kernels:
                times = kernel.repeats * repeats
                inner = kernel._replace(reads=nothing, writes=(), repeats=times)
                self.kernels.append(inner._replace(inside=0.0))
        return max((program.peak() for program in programs), default=0.0)
