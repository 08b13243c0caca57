"""What a picture of a model shows: boxes (one per layer) and arrows, read off the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nacre.core import tree


@dataclass
class Options:
    """What a box shows besides the class of its layer."""

    shapes: bool = False
    dtype: bool = False
    names: bool = False
    activations: bool = False
    trainable: bool = False
    nested: bool = False


@dataclass(eq=False)
class Box:
    """A layer. `rows` are lines of (label, value); `inner` is the diagram of a model that is shown in full."""

    key: str
    title: str
    kind: str
    subtitle: str = ""
    rows: list[tuple[str, str]] = field(default_factory=list)
    inner: Diagram | None = None


@dataclass
class Diagram:
    """Boxes in order of computation, and edges as pairs of indices of boxes."""

    boxes: list[Box] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)

    def empty(self) -> bool:
        return not self.boxes


def describe(model: Any, options: Options) -> Diagram:
    """The diagram of `model`. Raises ValueError for a model that has not been built."""
    if not getattr(model, "built", True):
        raise ValueError(
            "This model has not yet been built. Build the model first by calling `build()` or by calling the model on "
            "a batch of data."
        )
    return _describe(model, options, "")


def _describe(model: Any, options: Options, prefix: str) -> Diagram:
    graph = _graph_of(model)
    return _chain(model, options, prefix) if graph is None else _from_nodes(graph, options, prefix)


def _graph_of(model: Any) -> Any:
    """The functional model behind `model`, or None when its layers are not connected by a graph."""
    for graph in (model, getattr(model, "_functional", None)):
        if hasattr(graph, "_nodes_by_depth") and hasattr(graph, "_operations"):
            return graph
    return None


def _from_nodes(model: Any, options: Options, prefix: str) -> Diagram:
    nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    by_operation: dict[int, list[Any]] = {}
    for node in nodes:
        by_operation.setdefault(id(node.operation), []).append(node)
    diagram, index = Diagram(), {}
    for operation in model._operations:
        calls = by_operation.get(id(operation), [])
        if not calls:
            continue
        index[id(operation)] = len(diagram.boxes)
        inputs = [t for call in calls for t in call.input_tensors]
        outputs = [t for call in calls for t in call.outputs]
        diagram.boxes.append(_box(operation, inputs, outputs, options, prefix))
    seen = set()
    for node in nodes:
        for tensor in node.input_tensors:
            source = index.get(id(tensor._keras_history[0]))
            edge = (source, index[id(node.operation)])
            if source is not None and edge not in seen:
                seen.add(edge)
                diagram.edges.append(edge)  # type: ignore[arg-type]
    return diagram


def _chain(model: Any, options: Options, prefix: str) -> Diagram:
    """Layers of a model that is written as code: side by side, since nothing says how they are connected."""
    diagram = Diagram()
    for layer in getattr(model, "layers", ()):
        diagram.boxes.append(_box(layer, [], [], options, prefix))
    if any(cls.__name__ == "Sequential" for cls in type(model).__mro__):
        diagram.edges = [(i, i + 1) for i in range(len(diagram.boxes) - 1)]
    return diagram


def _box(layer: Any, inputs: list[Any], outputs: list[Any], options: Options, prefix: str) -> Box:
    cls = type(layer).__name__
    box = Box(key=f"{prefix}{layer.name}", title=cls, kind=_kind(cls))
    if options.names:
        box.title, box.subtitle = layer.name, cls
    if options.activations:
        activation = getattr(layer, "activation", None)
        if activation is not None:
            box.rows.append(("Activation", getattr(activation, "__name__", type(activation).__name__)))
    if options.shapes:
        if inputs or cls != "InputLayer":
            box.rows.append(("Input", _shapes(inputs or outputs)))
        box.rows.append(("Output", _shapes(outputs)))
    if options.dtype:
        box.rows.append(("Dtype", ", ".join(dict.fromkeys(str(t.dtype) for t in outputs)) or _dtype(layer)))
    if options.trainable:
        has_weights = bool(getattr(layer, "weights", None))
        box.rows.append(("Trainable", ("yes" if layer.trainable else "no") if has_weights else "-"))
    if options.nested and hasattr(layer, "layers"):
        inner = _describe(layer, options, f"{box.key}/")
        if not inner.empty():
            box.inner = inner
            box.title, box.subtitle = layer.name, cls
    return box


def _dtype(layer: Any) -> str:
    return str(getattr(layer, "compute_dtype", None) or getattr(layer, "dtype", "?"))


def _shapes(tensors: list[Any]) -> str:
    shapes = list(dict.fromkeys(tuple(t.shape) for t in tree.flatten(tensors)))
    return ", ".join(str(shape) for shape in shapes) or "?"


_KINDS = (
    ("input", ("InputLayer",)),
    ("convolution", ("Conv",)),
    ("recurrent", ("LSTM", "GRU", "RNN", "Bidirectional", "TimeDistributed")),
    ("pooling", ("Pool", "UpSampling", "ZeroPadding", "Cropping", "Resizing")),
    ("merge", ("Add", "Concatenate", "Multiply", "Subtract", "Average", "Maximum", "Minimum", "Dot")),
    ("attention", ("Attention",)),
    ("normalization", ("Normalization", "Rescaling")),
    ("embedding", ("Embedding", "Lookup", "Encoding", "Vectorization")),
    ("dense", ("Dense",)),
    ("regularization", ("Dropout", "Noise", "Regularization")),
    ("activation", ("ReLU", "Softmax", "Activation", "ELU")),
    ("shape", ("Flatten", "Reshape", "Permute", "RepeatVector")),
    ("model", ("Sequential", "Functional", "Model")),
)


def _kind(cls: str) -> str:
    """The family of a layer, which gives its colour."""
    if cls in ("AveragePooling1D", "AveragePooling2D", "AveragePooling3D"):
        return "pooling"
    for kind, parts in _KINDS:
        if any(part in cls for part in parts):
            return kind
    return "other"
