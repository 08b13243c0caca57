"""The table that `model.summary()` prints, as Keras prints it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nacre.core import tree
from nacre.core.interactive import is_interactive_logging_enabled
from nacre.utils.progbar import print_message

# Shares of the line where columns end, and the length of a line, for chains of layers and for graphs.
_CHAIN = ((0.45, 0.80, 1.0), 88)
_GRAPH = ((0.3, 0.56, 0.74, 1.0), 108)
_TRAINABLE_WIDTH = 12


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[..., Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> None:
    """Prints type, name, output shape and number of parameters of each layer, and the totals.

    Args:
        model: the model.
        line_length: width of the table; that of the terminal, up to a limit, by default.
        positions: where columns end, as shares of the line.
        print_fn: gets the whole text instead of stdout.
        expand_nested: also show the layers of models inside the model.
        show_trainable: also show which layers are trained.
        layer_range: names (or regular expressions) of the first and the last layer to show.
    """
    from rich.console import Console

    if print_fn is None and not is_interactive_logging_enabled():
        print_fn = print_message
    table = _table(model, line_length, positions, expand_nested, show_trainable, layer_range)
    if print_fn is None:
        console = Console(highlight=False)
    else:
        console = Console(highlight=False, force_terminal=False, color_system=None)
        console.begin_capture()
    console.print(_bold(f'Model: "{_escape(model.name)}"'))
    console.print(table)
    for line in _totals(model):
        console.print(line)
    if print_fn is not None:
        print_fn(console.end_capture())


def summary_text(model: Any, **options: Any) -> str:
    """The text that `print_summary` prints."""
    parts: list[str] = []
    print_summary(model, print_fn=parts.append, **options)
    return "".join(parts)


# --- rows ------------------------------------------------------------------------------------------------------


def _table(
    model: Any,
    line_length: int | None,
    positions: Sequence[float] | None,
    expand_nested: bool,
    show_trainable: bool,
    layer_range: Sequence[str] | None,
) -> Any:
    from rich.table import Column, Table

    graph = is_graph(model)
    default_positions, default_length = _GRAPH if graph else _CHAIN
    ends = list(positions or default_positions)
    if not graph and len(ends) == len(_GRAPH[0]):  # as given for models with a fourth column
        ends = [end / ends[2] for end in ends[:3]]
    header = ["Layer (type)", "Output Shape", "Param #"]
    justify = ["left", "left", "right"]
    if graph:
        header.append("Connected to")
        justify.append("left")
    if show_trainable:
        default_length += _TRAINABLE_WIDTH
        ends = [end * 0.90 for end in ends] + [1.0]
        header.append("Trainable")
        justify.append("center")
    if len(ends) != len(header):
        raise ValueError(f"summary: expected {len(header)} positions, one per column, got {list(positions or ())}")
    length = line_length or min(default_length, shutil.get_terminal_size().columns - 4)
    columns, start = [], 0
    for name, how, end in zip(header, justify, ends, strict=True):
        width = int(end * length) - start
        if width < 4:
            raise ValueError(
                f"Insufficient console width to print summary: column {name!r} would have {width} characters. "
                "Give a larger line_length."
            )
        columns.append(Column(name, justify=how, width=width))  # type: ignore[arg-type]
        start += width
    table = Table(*columns, width=length, show_lines=True)
    nodes = {id(node) for level in model._nodes_by_depth.values() for node in level} if graph else None
    layers = _operations(model)
    first, last = _range(layers, layer_range)
    for layer in layers[first:last]:
        for row in _rows(layer, 0, nodes, expand_nested, show_trainable):
            table.add_row(*row)
    return table


def is_graph(model: Any) -> bool:
    """Whether the layers of `model` form anything but a chain: then a column says what each is connected to."""
    levels = getattr(model, "_nodes_by_depth", None)
    if levels is None or _is_sequential(model):
        return False
    seen: set[int] = set()
    for nodes in levels.values():
        if len(nodes) > 1 or len(nodes[0].input_tensors) > 1:
            return True
        if id(nodes[0].operation) in seen:  # a shared layer
            return True
        seen.add(id(nodes[0].operation))
    return False


def _is_sequential(model: Any) -> bool:
    return any(cls.__name__ == "Sequential" for cls in type(model).__mro__)


def _operations(model: Any) -> list[Any]:
    if hasattr(model, "_nodes_by_depth") and not _is_sequential(model):
        return list(model._operations)
    return list(model.layers)


def _rows(layer: Any, level: int, nodes: set[int] | None, expand: bool, trainable: bool) -> list[list[str]]:
    indent = "   " * level + "└ " if level else ""
    row = [
        f"{_escape(indent + layer.name)} ({_symbol(_escape(type(layer).__name__))})",
        _output_shape(layer),
        _parameters(layer),
    ]
    if nodes is not None:
        row.append(_connections(layer, nodes))
    if trainable:
        if getattr(layer, "weights", None):
            row.append(_bold("Y", 34) if layer.trainable else _bold("N", 9))
        else:
            row.append(_bold("-"))
    rows = [row]
    if expand:
        for inner in getattr(layer, "layers", None) or ():
            rows += _rows(inner, level + 1, nodes, expand, trainable)
    return rows


def _parameters(layer: Any) -> str:
    if not hasattr(layer, "built"):
        return _number(0)
    return _number(f"{layer.count_params():,}") if layer.built else f"{_number(0)} (unbuilt)"


def _output_shape(layer: Any) -> str:
    """The shapes of what comes out, in their structure; "?" where the layer has met no data or its class says none."""
    nodes = getattr(layer, "_inbound_nodes", None)
    if nodes:
        return _shapes([tuple(t.shape) for t in nodes[-1].outputs if hasattr(t, "shape")])
    try:
        said = getattr(layer, "output_shape", None)  # as functional models say it
        if said is not None:
            return _shapes(tuple(said))
        known = getattr(layer, "_build_shapes_dict", None)
        if not known or getattr(layer.compute_output_shape, "_nacre_default", False):
            return "?"
        return _shapes(layer.compute_output_shape(**known))
    except Exception:  # what a user's class does with shapes is not ours to judge; the cell says that it is not known
        return "?"


def _shapes(shape: Any) -> str:
    """`shape`, or a structure of shapes; the only one of a structure comes alone."""
    if isinstance(shape, (tuple, list)) and all(d is None or isinstance(d, (int, np.integer)) for d in shape):
        return f"({', '.join(_number(d) for d in shape)})"
    texts = [_shapes(s) for s in (shape.values() if isinstance(shape, dict) else shape)]
    if len(texts) == 1:
        return texts[0]
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{name}: {text}" for name, text in zip(shape, texts)) + "}"
    return f"({', '.join(texts)})" if isinstance(shape, tuple) else f"[{', '.join(texts)}]"


def _connections(layer: Any, nodes: set[int]) -> str:
    parts = []
    for node in getattr(layer, "_inbound_nodes", ()):
        if id(node) not in nodes:
            continue
        for tensor in node.input_tensors:
            operation, node_index, tensor_index = tensor._keras_history
            parts.append(rf"{_escape(operation.name)}\[{_number(node_index)}]\[{_number(tensor_index)}]")
    return ", ".join(parts) or "-"


def _range(layers: list[Any], names: Sequence[str] | None) -> tuple[int, int]:
    if names is None:
        return 0, len(layers)
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise ValueError(f"layer_range must be a list or tuple of 2 strings. Received: layer_range={names!r}")
    first = [i for i, layer in enumerate(layers) if re.match(names[0], layer.name)]
    last = [i for i, layer in enumerate(layers) if re.match(names[1], layer.name)]
    if not first or not last:
        raise ValueError(f"Passed layer_names do not match the layer names in the model. Received: {names!r}")
    if first[0] > last[-1]:
        return last[0], first[-1] + 1
    return first[0], last[-1] + 1


# --- totals ----------------------------------------------------------------------------------------------------


def _totals(model: Any) -> list[str]:
    trainable = _count(getattr(model, "_collected_trainable_weights", None) or model.trainable_weights)
    frozen = _count(model.non_trainable_weights)
    optimizer = getattr(model, "optimizer", None)
    built = bool(getattr(model, "compiled", False) and optimizer is not None and getattr(optimizer, "built", False))
    state = _count(optimizer.variables) if built and optimizer is not None else (0, 0)
    lines = [
        ("Total params", (trainable[0] + frozen[0] + state[0], trainable[1] + frozen[1] + state[1])),
        ("Trainable params", trainable),
        ("Non-trainable params", frozen),
    ]
    if built:
        lines.append(("Optimizer params", state))
    return [f"{_bold(f' {what}: ')}{_number(f'{n:,}')} ({memory_size(b)})" for what, (n, b) in lines]


def _count(variables: Any) -> tuple[int, int]:
    """(elements, bytes) of all variables, each counted once."""
    distinct = {id(v): v for v in tree.flatten(variables)}.values()
    sizes = [(int(np.prod(v.shape, dtype=np.int64)), np.dtype(v.dtype).itemsize) for v in distinct]
    return sum(n for n, _ in sizes), sum(n * item for n, item in sizes)


def memory_size(n: float) -> str:
    """Bytes as people read them.

    >>> memory_size(54632)
    '53.35 KB'
    """
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if n < 1024 or unit == "TB":
            break
        n /= 1024
    return f"{n:.2f} {unit}"


# --- marks for rich, which drops them where there is no colour ---------------------------------------------------


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _bold(text: str, color: int | None = None) -> str:
    return f"[color({color})][bold]{text}[/][/]" if color is not None else f"[bold]{text}[/]"


def _number(value: Any) -> str:
    return f"[color(45)]{value}[/]" if value is None else f"[color(34)]{value}[/]"


def _symbol(text: str) -> str:
    return f"[color(33)]{text}[/]"
