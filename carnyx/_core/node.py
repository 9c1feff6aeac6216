"""Nodes: calls on symbolic tensors, recorded; the edges of a functional model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax

from carnyx._core.devices import device_name, find_device
from carnyx._core.infer import infer
from carnyx._core.memory import ensure_room_for
from carnyx._core.naming import auto_name
from carnyx._core.scope import current
from carnyx._core.symbol import KerasTensor, any_symbolic, is_symbolic
from carnyx.configurable import Configurable
from carnyx.errors import ArgumentError, DeviceError
from carnyx.typing import DeviceLike


class Operation(Configurable, register=False):
    """What a graph consists of: a function of tensors that has a name and a config.

    Layers are operations with weights, and every op that is applied to a symbolic
    tensor becomes one. A subclass writes `call`; called on arrays it computes, called
    on symbolic tensors it becomes a node of the graph.

    Args:
        name: by default the class's name in snake case, numbered.

    >>> import carnyx as keras
    >>> class Scale(keras.Operation):
    ...     def __init__(self, factor, name=None):
    ...         super().__init__(name=name)
    ...         self.factor = factor
    ...     def call(self, x):
    ...         return x * self.factor
    >>> Scale(2)(3.0), Scale(2)(keras.Input((4,))).shape
    (6.0, (None, 4))
    >>> Scale(2, name="twice").get_config()
    {'name': 'twice', 'factor': 2}
    """

    def __init__(self, name: str | None = None) -> None:
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ArgumentError(
                f"{type(self).__name__} got name={name!r}; expected text without '/'."
            )
        self.name: str = name or auto_name(type(self).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any_symbolic((args, kwargs)):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The function, on arrays."""
        raise NotImplementedError(
            f"{type(self).__name__} has no call(); define call(self, inputs)."
        )

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Record a call on symbolic tensors; returns its symbolic outputs."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic outputs for symbolic inputs, by abstract evaluation of `call`."""
        return infer(self.call, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    @property
    def inbound_nodes(self) -> list[Node]:
        """The calls of this operation on symbolic tensors, in order."""
        return self.__dict__.setdefault("_inbound_nodes", [])

    def _history(self, attribute: str) -> Any:
        nodes = self.inbound_nodes
        if not nodes:
            raise AttributeError(
                f"{self.name!r} was never called on a symbolic tensor, so it has no "
                f"{attribute}."
            )
        return getattr(nodes[0], attribute + "s")

    @property
    def input(self) -> Any:
        """The symbolic input of the first call."""
        tensors = self._history("input")
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self) -> Any:
        """The symbolic output of the first call."""
        return self._history("output")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Node:
    """One call of an operation on symbolic tensors.

    Attributes:
        args, kwargs: what the operation was called with, symbolic tensors included.
        inputs: the symbolic tensors among them, in order.
        outputs: what came out, in its structure.
        device: the device scope in which the call was made, or None.
        asked: the name of a device that a file gives for the call, where the machine
            has none of that name; the next file names it again.
    """

    __slots__ = (
        "__weakref__", "args", "asked", "device", "index", "inputs", "kwargs",
        "operation", "outputs",
    )  # fmt: skip

    asked: str | None

    def __init__(
        self, operation: Operation, args: tuple, kwargs: dict[str, Any], outputs: object
    ) -> None:
        if not current().abstract:
            ensure_room_for(outputs, repr(operation.name))
        self.operation, self.args, self.kwargs = operation, args, kwargs
        self.inputs = symbols_in((args, kwargs))
        self.outputs = outputs
        self.device, self.asked = current().device, None
        self.index = len(operation.inbound_nodes)
        operation.inbound_nodes.append(self)
        for i, tensor in enumerate(symbols_in(outputs)):
            tensor.node, tensor.node_index, tensor.tensor_index = self, self.index, i

    @classmethod
    def detached(
        cls, operation: Operation, args: tuple, kwargs: dict[str, Any], outputs: object,
        device: DeviceLike, index: int,
    ) -> Node:  # fmt: skip
        """A node of a graph made over, of which the operation knows nothing."""
        node = cls.__new__(cls)
        node.operation, node.args, node.kwargs = operation, args, kwargs
        node.inputs, node.outputs = symbols_in((args, kwargs)), outputs
        node.device, node.asked, node.index = device, None, index
        for i, tensor in enumerate(symbols_in(outputs)):
            tensor.node, tensor.node_index, tensor.tensor_index = node, index, i
        return node

    @property
    def is_input(self) -> bool:
        """True for what `Input` made."""
        return not self.inputs

    @property
    def output_tensors(self) -> list[KerasTensor]:
        """The symbolic outputs, flat."""
        return symbols_in(self.outputs)

    def fill(self, known: dict[int, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments with values, by id of the symbolic tensor, put in."""
        return jax.tree_util.tree_map(
            lambda x: known[id(x)] if is_symbolic(x) else x,
            (self.args, self.kwargs),
            is_leaf=_is_leaf,
        )

    def __getstate__(self) -> dict[str, Any]:
        """For pickles and deep copies, which have names of devices, as files do."""
        names = [name for name in self.__slots__ if name != "__weakref__"]
        state = {name: getattr(self, name) for name in names}
        if self.device is not None:
            state["device"], state["asked"] = None, device_name(self.device)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        if self.asked is not None:
            with contextlib.suppress(DeviceError):
                self.device, self.asked = find_device(self.asked), None

    def __repr__(self) -> str:
        return f"<Node {self.index} of {self.operation.name!r}>"


class OpCall(Operation, register=False):
    """A recorded call of an op; the counterpart of a layer in a graph."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        self.fn = fn
        self.name = name or auto_name(fn.op_name)
        self.built = True

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    __call__ = call  # the op itself records what is symbolic

    def __repr__(self) -> str:
        return f"<OpCall {self.fn.op_name} {self.name!r}>"


def _is_leaf(x: Any) -> bool:
    return x is None or is_symbolic(x)


def symbols_in(structure: object) -> list[KerasTensor]:
    """The symbolic tensors of nested arguments, in order."""
    leaves = jax.tree_util.tree_leaves(structure, is_leaf=_is_leaf)
    return [leaf for leaf in leaves if is_symbolic(leaf)]
