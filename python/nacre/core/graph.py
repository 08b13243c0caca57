"""A graph of ops: nodes in the order in which they were recorded, which is an order in which they can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nacre.core.spec import Spec
from nacre.core.tensor import Symbol, Tensor

if TYPE_CHECKING:
    from nacre.core.op import Op
    from nacre.core.variable import Variable


class Node:
    """One op applied to values."""

    __slots__ = ("inputs", "op", "outputs", "where")

    def __init__(self, op: Op, inputs: tuple[Symbol, ...], outputs: tuple[Symbol, ...]) -> None:
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.where = ""  # the path of the layer that made it, in a graph that asks for it


class Graph:
    """Nodes, the inputs of the program, the Variables that it reads and writes, and its outputs."""

    def __init__(self) -> None:
        self.symbols: list[Symbol] = []  # all that were ever made: passes know them by their ids, which stay theirs
        self.nodes: list[Node] = []
        self.inputs: list[Symbol] = []
        self.outputs: list[Symbol] = []
        self.state: dict[Variable, Symbol] = {}  # the value of each Variable before the program runs
        self.current: dict[Variable, Symbol] = {}  # its value at this point of the trace
        self._constants: dict[int, tuple[Any, Symbol]] = {}

    def add_input(self, spec: Spec) -> Symbol:
        symbol = Symbol(self, spec, kind="input", payload=len(self.inputs))
        self.inputs.append(symbol)
        return symbol

    def constant(self, tensor: Tensor) -> Symbol:
        """The Symbol for a Tensor that exists already; its value is frozen into the program."""
        known = self._constants.get(id(tensor._array))
        if known is not None:
            return known[1]
        symbol = Symbol(self, Spec(tensor.shape, tensor.dtype), kind="constant", payload=tensor._array)
        self._constants[id(tensor._array)] = (tensor._array, symbol)  # holds the array, so that its id stays its own
        return symbol

    def read(self, variable: Variable) -> Symbol:
        symbol = self.current.get(variable)
        if symbol is None:
            symbol = Symbol(self, variable.spec, kind="state", payload=variable)
            self.state[variable] = self.current[variable] = symbol
        return symbol

    def write(self, variable: Variable, value: Symbol | Tensor) -> None:
        self.read(variable)
        self.current[variable] = value if isinstance(value, Symbol) else self.constant(value)

    @property
    def writes(self) -> dict[Variable, Symbol]:
        """Variables whose value the program changes."""
        return {v: s for v, s in self.current.items() if self.state[v] is not s}

    def symbol(self, value: Any) -> Symbol:
        """`value` as a Symbol of this graph. Raises ValueError for one that belongs to another graph."""
        if isinstance(value, Symbol):
            if value.graph is not self:
                raise ValueError(
                    "a tensor made while compiling another function was kept and used here; return it from that "
                    "function or keep it in a Variable"
                )
            return value
        return self.constant(value)

    def made(self, op: Op, *inputs: Symbol) -> Node:
        """A node of one output, which takes no place among the others yet."""
        y = Symbol(self, op.infer(*[s.spec for s in inputs]))
        y.node = Node(op, inputs, (y,))
        return y.node

    def record(self, op: Op, values: list[Any]) -> tuple[Symbol, ...]:
        inputs = tuple([v if type(v) is Symbol and v.graph is self else self.symbol(v) for v in values])
        specs = op.infer(*[s.spec for s in inputs])
        if type(specs) is Spec:
            specs = (specs,)
        outputs = tuple([Symbol(self, spec) for spec in specs])
        node = Node(op, inputs, outputs)
        for symbol in outputs:
            symbol.node = node
        self.nodes.append(node)
        return outputs

    def __str__(self) -> str:
        """One line per node: `%3 (32, 10) float32 = Add(%1, %2)`."""
        names: dict[int, str] = {}

        def name(s: Symbol) -> str:
            if id(s) not in names:
                names[id(s)] = {"input": "in", "constant": "const", "state": "var", "node": "%"}[s.kind] + str(
                    len(names)
                )
            return names[id(s)]

        lines = [f"{name(s)} {s.shape} {s.dtype} = input {i}" for i, s in enumerate(self.inputs)]
        lines += [f"{name(s)} {s.shape} {s.dtype} = variable {v.path}" for v, s in self.state.items()]
        for node in self.nodes:
            outs = ", ".join(f"{name(s)} {s.shape} {s.dtype}" for s in node.outputs)
            lines.append(f"{outs} = {node.op}({', '.join(name(s) for s in node.inputs)})")
        lines += [f"variable {v.path} <- {name(s)}" for v, s in self.writes.items()]
        lines.append("return " + ", ".join(name(s) for s in self.outputs))
        return "\n".join(lines)
