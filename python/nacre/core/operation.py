"""The graph of layers: an Operation called on KerasTensors leaves a Node behind, and each output remembers it."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from nacre.core import naming, trace, tree
from nacre.core.errors import Told, TracedBranch
from nacre.core.graph import Graph
from nacre.core.spec import Spec
from nacre.core.tensor import KerasTensor, Symbol, Tensor, as_array
from nacre.core.variable import Variable

# Two sizes tried in place of each unknown one, by axis; what differs between the two results is unknown there, too.
# Large and prime, so that strides and poolings keep them apart.
_PROBES = ((997, 1009, 1013, 1019, 1021, 1031, 1033, 1039), (1999, 2003, 2011, 2017, 2027, 2029, 2039, 2053))
# Where those do not fit: all unknown sizes the same, then sizes that can be cut into equal parts, or halved often, then
# small ones, as for positions that are looked up in a table of few.
_EQUAL_PROBES = ((997,), (1999,))
_ROUND_PROBES = (tuple(2520 * i for i in range(1, 9)), tuple(2520 * i for i in range(11, 19)))
_BINARY_PROBES = (tuple(256 * i for i in range(5, 13)), tuple(256 * i for i in range(21, 29)))
_SMALL_PROBES = ((3, 5, 7, 11, 13, 17, 19, 23), (4, 8, 9, 10, 12, 14, 15, 16))
# A size of a shape, in an error's text, that is one of the first.
_PROBE_NUMBERS = re.compile(rf"(?<=[(\[ ])(?:{'|'.join(map(str, _PROBES[0]))})(?=[,)\]])")
_MOST_TRIES = 256  # of ways in which unknown sizes may be equal to known ones


class KerasHistory(NamedTuple):
    """Where a KerasTensor comes from: output `tensor_index` of call `node_index` of `operation`."""

    operation: Any
    node_index: int
    tensor_index: int


class Node:
    """One call of an Operation on KerasTensors.

    Attributes: `operation`, `args` and `kwargs` as they were given, `outputs` (flat list of KerasTensors).
    """

    def __init__(
        self, operation: Operation, call_args: tuple[Any, ...], call_kwargs: dict[str, Any], outputs: Any
    ) -> None:
        self.operation = operation
        self.args = call_args
        self.kwargs = call_kwargs
        self.outputs = tree.flatten(outputs) if outputs is not None else []
        self.input_tensors = [x for x in tree.flatten((call_args, call_kwargs)) if isinstance(x, KerasTensor)]
        operation._inbound_nodes.append(self)
        index = len(operation._inbound_nodes) - 1
        for i, y in enumerate(self.outputs):
            if isinstance(y, KerasTensor):
                y._keras_history = KerasHistory(operation, index, i)
        for x in self.input_tensors:
            if x._keras_history is not None:  # a KerasTensor that no operation made is a shape and a dtype, no more
                x._keras_history.operation._outbound_nodes.append(self)

    @property
    def parent_nodes(self) -> list[Node]:
        """The nodes whose outputs this one takes."""
        nodes: list[Node] = []
        for x in self.input_tensors:
            if x._keras_history is None:
                continue
            node = x._keras_history.operation._inbound_nodes[x._keras_history.node_index]
            if node not in nodes:
                nodes.append(node)
        return nodes

    @property
    def is_input(self) -> bool:
        """Whether this is where data enters."""
        return not self.input_tensors

    def __repr__(self) -> str:
        return f"<Node operation={self.operation.name}, inputs={self.input_tensors}, outputs={self.outputs}>"


class Operation(Told):
    """Something with a name that can be called on values, and recorded when it is called on KerasTensors."""

    name: str
    _tells = ("__init__",)  # calls of layers tell more
    _init_arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    _not_recorded: tuple[str, ...] = ("name",)  # arguments of which the configuration says what became of them

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        operation = object.__new__(cls)
        operation.__dict__["_init_arguments"] = (args, kwargs)
        return operation

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = naming.auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"{type(self).__name__}: argument `name` must be a string and cannot contain character `/`. Received: "
                f"name={name!r}"
            )
        self.name = name
        self._inbound_nodes: list[Node] = []
        self._outbound_nodes: list[Node] = []

    def __getstate__(self) -> dict[str, Any]:
        """Without the graph around it: a copy has been called on no KerasTensor, unless a model comes along."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_inbound_nodes", "_outbound_nodes")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_graph()

    def _forget_graph(self) -> None:
        # A model that comes along may have restored its calls before this operation is whole.
        for nodes in ("_inbound_nodes", "_outbound_nodes"):
            self.__dict__.setdefault(nodes, [])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any_keras_tensor(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define `call`")

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors in, KerasTensors out, and a Node that remembers the call."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors of the shapes and dtypes that `call` would give."""
        return compute_output_spec(self.call, args, kwargs, self.name)

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal operation from.

        Raises NotImplementedError for a subclass without a `get_config` whose arguments are not all plain data.
        """
        return self._config(Operation.get_config)

    def _config(self, default: Any) -> dict[str, Any]:
        """The name, and all arguments where the class has the `default` get_config."""
        config: dict[str, Any] = {"name": self.name}
        if type(self).get_config is not default:
            return config
        config.update(self._recorded_arguments())
        if not accepts(type(self), "name"):
            del config["name"]
        return config

    def _recorded_arguments(self) -> dict[str, Any]:
        """What `__init__` was given, and its defaults where they are plain data."""
        args, kwargs = self._init_arguments
        parameters = inspect.signature(type(self).__init__).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]  # others cannot be given by name
        known = {p.name: p.default for p in parameters if _plain(p.default)}
        given = {**dict(zip(names, args)), **kwargs}
        for name in self._not_recorded:
            known.pop(name, None)
            given.pop(name, None)
        if len(args) > len(names) or not _plain(given):
            cls = type(self).__name__
            raise NotImplementedError(
                f"Object {cls} was created by passing non-serializable argument values in `__init__()`, or arguments "
                "without a name (`*args`), and therefore the object must override `get_config()` in order to be "
                "serializable. Please implement `get_config()`: call `super().get_config()` and add every argument of "
                "`__init__()` to the dict."
            )
        values = {**known, **given}
        return {**{p.name: values[p.name] for p in parameters if p.name in values}, **values}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The operation of that configuration."""
        try:
            return cls(**config)
        except Exception as error:
            raise not_made(cls, config, error) from error

    def _history_outputs(self, what: str, attribute: str) -> Any:
        if len(self._inbound_nodes) == 0:
            raise AttributeError(f"The layer {self.name} has never been called and thus has no defined {what}.")
        if len(self._inbound_nodes) > 1:
            values = [[(t.shape) for t in getattr(n, attribute)] for n in self._inbound_nodes]
            if any(v != values[0] for v in values[1:]):
                raise AttributeError(
                    f"The layer {self.name} has multiple inbound nodes, hence the notion of '{what}' is ill-defined."
                )
        found = getattr(self._inbound_nodes[0], attribute)
        return found[0] if len(found) == 1 else found

    @property
    def input(self) -> Any:
        """The KerasTensor (or list) that the operation was called on, when it was called once."""
        return self._history_outputs("input", "input_tensors")

    @property
    def output(self) -> Any:
        """The KerasTensor (or list) that the operation gave, when it was called once."""
        return self._history_outputs("output", "outputs")


def accepts(cls: type, name: str) -> bool:
    """Whether objects of this class can be made with an argument of that name."""
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def not_made(cls: type, config: dict[str, Any], error: Exception) -> TypeError:
    """What to raise where a configuration makes no object of its class."""
    return TypeError(
        f"Error when deserializing class '{cls.__name__}' using config={config}.\n\nException encountered: {error}"
    )


def _plain(value: Any) -> bool:
    return all(v is None or isinstance(v, (str, int, float, bool)) for v in tree.flatten(value))


class SymbolicScope:
    """Inside this block code that asks whether it only runs to find out shapes is told that it does."""

    def __enter__(self) -> SymbolicScope:
        probe = trace.Probe()
        self._before, trace.state.probe = trace.state.probe, probe
        return self

    def __exit__(self, *exc: Any) -> None:
        trace.state.probe = self._before


def any_keras_tensor(args: Any, kwargs: Any = None) -> bool:
    """Whether a KerasTensor is among the (nested) arguments."""
    for a in args:
        if isinstance(a, KerasTensor):
            return True
        if isinstance(a, (list, tuple)):
            if any_keras_tensor(a):
                return True
        elif isinstance(a, dict) and any_keras_tensor(a.values()):
            return True
    return bool(kwargs) and any_keras_tensor(kwargs.values())


def compute_output_spec(fn: Callable[..., Any], args: Any, kwargs: Any, name: str, fit: bool = False) -> Any:
    """What `fn` would return for these arguments, as KerasTensors; no arithmetic is done.

    The function is traced with concrete sizes in place of each unknown one, twice when there is one. Where it refuses
    sizes behind the first axis, it gets such that can be cut into parts, and small ones; with `fit` also sizes that the
    arguments name: in `(None, 3) + (2, None)` the first unknown can only be 2, the second only 3.
    """
    shapes = [t.shape for t in tree.flatten((args, kwargs)) if isinstance(t, KerasTensor)]
    unknown = any(None in shape for shape in shapes)
    try:
        first, asked = _probe(fn, args, kwargs, _PROBES[0])
        second = _probe(fn, args, kwargs, _PROBES[1])[0] if unknown or asked else first
    except (ValueError, IndexError) as error:
        known = not fit and not any(None in shape[1:] for shape in shapes)
        found = None if known or not unknown else _fitting(fn, args, kwargs, fit)
        if found is None:
            if unknown:
                _hide_probes(error)
            raise
        first, second = found

    def spec(a: Any, b: Any) -> Any:
        if isinstance(a, np.ndarray) and a.dtype.kind in "biuf":  # such as a table made by NumPy
            a, b = Tensor(as_array(a)), Tensor(as_array(b))
        if not isinstance(a, (Symbol, Tensor, Variable)):
            same = type(a) is not int or a == b  # a number that depends on unknown sizes is one of the graph, too
            return a if same else KerasTensor((), "int32", name=naming.auto_name("keras_tensor"))
        if len(a.shape) != len(b.shape):
            raise ValueError(f"{name}: the rank of the output depends on the size of an unknown axis")
        shape = tuple(m if m == n else None for m, n in zip(a.shape, b.shape))
        return KerasTensor(shape, a.dtype, name=naming.auto_name("keras_tensor"))

    try:
        tree.assert_same_structure(first, second)
    except ValueError:
        raise ValueError(
            f"{name}: the number of outputs depends on the size of an unknown axis. Cannot infer argument `num` from "
            "shape: either provide a tensor with a concrete shape in that dimension, or explicitly pass the `num` "
            "argument."
        ) from None
    return tree.map_structure(spec, first, second)


def _fitting(fn: Callable[..., Any], args: Any, kwargs: Any, fit: bool) -> Any:
    """The two results for sizes that `fn` takes, with `fit` the fewest possible of them fixed; None when none fit."""
    leaves = tree.flatten((args, kwargs))
    tensors = [t for t in leaves if isinstance(t, KerasTensor)]
    unknown = [(i, axis) for i, t in enumerate(tensors) for axis, d in enumerate(t.shape) if d is None]
    sizes = {d for t in leaves if hasattr(t, "shape") for d in t.shape if d is not None and d > 1}
    sizes |= {d for d in leaves if type(d) is int and 1 < d < 100_000}
    for probes in (_EQUAL_PROBES, _ROUND_PROBES, _BINARY_PROBES, _SMALL_PROBES):
        try:
            return tuple(_probe(fn, args, kwargs, chosen)[0] for chosen in probes)
        except (ValueError, TypeError, IndexError):
            continue
    if not fit:
        return None
    ways = (
        dict(zip(where, values))
        for n in range(1, len(unknown) + 1)
        for where in itertools.combinations(unknown, n)
        for values in itertools.product(sorted(sizes), repeat=n)
    )
    for fixed in itertools.islice(ways, _MOST_TRIES):
        try:
            return tuple(_probe(fn, args, kwargs, chosen, fixed)[0] for chosen in _PROBES)
        except (ValueError, TypeError, IndexError):
            continue
    return None


def _hide_probes(error: Exception) -> None:
    """Sizes that only stand for unknown ones are None in what the user reads."""
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (_PROBE_NUMBERS.sub("None", error.args[0]),)


def _probe(
    fn: Callable[..., Any],
    args: Any,
    kwargs: Any,
    sizes: tuple[int, ...],
    fixed: Mapping[tuple[int, int], int] = MappingProxyType({}),
) -> tuple[Any, bool]:
    """What `fn` returns for these sizes, and whether something in it depends on values."""
    graph, probe = Graph(), trace.Probe(sizes[-1])
    seen = itertools.count()

    def symbol(x: Any) -> Any:
        if not isinstance(x, KerasTensor):
            return x
        number = next(seen)
        shape = tuple(fixed.get((number, i), sizes[i % len(sizes)]) if d is None else d for i, d in enumerate(x.shape))
        s = graph.add_input(Spec(shape, x.dtype))
        mask = getattr(x, "_keras_mask", None)
        if mask is not None:
            s._keras_mask = symbol(mask) if isinstance(mask, KerasTensor) else mask  # type: ignore[attr-defined]
        return s

    args, kwargs = tree.map_structure(symbol, (args, kwargs))
    with trace.tracing(graph, probe), trace.no_tapes():
        try:
            return fn(*args, **kwargs), probe.asked
        except TracedBranch as error:
            raise ValueError(
                f"the output shape cannot be found without running the computation: {error}. A layer can say it by "
                "overriding compute_output_shape"
            ) from error
        except Exception as error:
            error.depends_on_values = probe.asked  # type: ignore[attr-defined]  # sizes that stood in may not fit
            raise
