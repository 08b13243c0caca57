"""Derivatives in other ways than by a tape: of the graph that is being traced, and forwards along a direction."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import trace
from nacre.core.autodiff import GradientTape, backward
from nacre.core.graph import Graph
from nacre.core.tensor import Symbol
from nacre.core.variable import Variable


def gradients(
    ys: Any,
    xs: Any,
    grad_ys: Any = None,
    name: str | None = None,
    gate_gradients: bool = False,
    aggregation_method: Any = None,
    stop_gradients: Any = None,
    unconnected_gradients: Any = "none",
) -> list[Any]:
    """The gradients of the sum of `ys` with respect to each of `xs`, a list: `tf.gradients`.

    `grad_ys` multiply the elements of `ys`; what stands in `stop_gradients` counts as constant. None stands where an x
    does not reach the ys, or zeros with `unconnected_gradients="zero"`. Raises RuntimeError outside of a function that
    is being compiled, where nothing is recorded.
    """
    graph = trace.current_graph()
    if graph is None:
        raise RuntimeError(
            "tf.gradients is not supported when eager execution is enabled. Use tf.GradientTape instead."
        )
    targets, sources, stops = (_symbols(graph, given) for given in (ys, xs, stop_gradients))
    seeds = [None] * len(targets) if grad_ys is None else _listed(grad_ys)
    seeds = [None if seed is None else ops.convert_to_tensor(seed) for seed in seeds]
    closed = {id(s) for s in stops}
    nodes = [
        (node.op, tuple(node.inputs), tuple(node.outputs))
        for node in graph.nodes
        if node.op.grad_wants is not None and not any(id(y) in closed for y in node.outputs)
    ]
    found = backward(nodes, targets, seeds, {id(s) for s in sources})
    zero = unconnected_gradients == "zero"
    grads = [found.get(id(s)) for s in sources]
    return [ops.zeros_like(s) if g is None and zero else g for s, g in zip(sources, grads)]


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]


def _symbols(graph: Graph, given: Any) -> list[Symbol]:
    return [graph.read(v) if isinstance(v, Variable) else graph.symbol(v) for v in _listed(given)]


class ForwardAccumulator:
    """Derivatives along a direction: `tf.autodiff.ForwardAccumulator`.

    >>> x = ops.convert_to_tensor([1.0, 2.0])
    >>> with ForwardAccumulator(x, ops.convert_to_tensor([1.0, 0.0])) as acc:
    ...     y = x**3
    >>> acc.jvp(y).tolist()
    [3.0, 0.0]

    Args:
        primals: a tensor or Variable, or a list of them.
        tangents: the direction, in the same structure and shapes.
    """

    def __init__(self, primals: Any, tangents: Any) -> None:
        self._primals = _listed(primals)
        self._tangents = [ops.convert_to_tensor(t) for t in _listed(tangents)]
        if [tuple(p.shape) for p in self._primals] != [tuple(t.shape) for t in self._tangents]:
            raise ValueError(
                f"ForwardAccumulator: expected tangents of the shapes {[tuple(p.shape) for p in self._primals]}, got "
                f"{[tuple(t.shape) for t in self._tangents]}"
            )
        self._tape = GradientTape(persistent=True)

    def __enter__(self) -> ForwardAccumulator:
        self._tape.__enter__()
        self._tape.watch(self._primals)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._tape.__exit__(*exc)

    def jvp(self, primals: Any, unconnected_gradients: Any = "none") -> Any:
        """The derivatives of what was computed, along the direction; in the structure of `primals`."""
        zero = unconnected_gradients == "zero"
        found = [self._along(y) for y in _listed(primals)]
        found = [ops.zeros_like(y) if d is None and zero else d for y, d in zip(_listed(primals), found)]
        return found if isinstance(primals, (list, tuple)) else found[0]

    def _along(self, y: Any) -> Any:
        # Gradients are linear in what they are multiplied with: their derivative by that, times the direction.
        u = ops.zeros_like(y)
        with GradientTape() as tape:
            tape.watch(u)
            grads = self._tape.gradient(y, self._primals, output_gradients=u)
            terms = [ops.sum(g * t) for g, t in zip(grads, self._tangents) if g is not None]
            total = sum(terms[1:], terms[0]) if terms else None
        return None if total is None else tape.gradient(total, u)
