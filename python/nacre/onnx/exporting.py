"""`Model.export(..., format="onnx")`."""

from __future__ import annotations

from typing import Any

from nacre.core import tree
from nacre.core.errors import NotCompilable, TracedBranch, told
from nacre.core.graph import Node
from nacre.core.spec import standardize_dtype
from nacre.onnx import elementwise, movement, networks
from nacre.onnx.twins import Open, twins
from nacre.onnx.writer import Writer, library
from nacre.ops.fused_rows import LayerNorm
from nacre.utils.atomic import replacing
from nacre.utils.progbar import print_message

_TABLE = {**elementwise.TABLE, **movement.TABLE, **networks.TABLE}
_OPSET = 18  # the first that has all operators here
_MOST_BYTES = (1 << 31) - 1  # of a file in the format of Protocol Buffers


@told
def export_onnx(
    model: Any, filepath: Any, verbose: bool | None, input_signature: Any = None, opset_version: int | None = None
) -> None:
    """Writes the inference call of `model` as an ONNX file, weights included; nothing of nacre is needed to run it.

    `input_signature` is a list of the arguments of the call: objects with a `shape` (None: any size), a `dtype` and
    perhaps a `name`, such as InputSpec or KerasTensor, or structures of them. By default it follows from the model.

    Raises ImportError without the package onnx, NotImplementedError for what has no counterpart in ONNX, ValueError for
    a model that is not built, or another opset than 18 or a later one that onnx knows.
    """
    onnx = library()
    opset = _OPSET if opset_version is None else opset_version
    if not isinstance(opset, int) or not _OPSET <= opset <= onnx.defs.onnx_opset_version():
        raise ValueError(
            f"export: expected opset_version to be from {_OPSET} to {onnx.defs.onnx_opset_version()}, got {opset!r}"
        )
    if not model.built:
        raise ValueError(f"export: model '{model.name}' has not been built yet: call it on data first")
    inner = getattr(model, "_functional", None) or model  # of a Sequential
    own = getattr(inner, "input_names", None)  # of a graph of layers
    signature = _signature(inner) if input_signature is None else list(input_signature)
    specs = tree.flatten(signature)
    if own is None:
        names = [getattr(spec, "name", None) or f"input_{i}" for i, spec in enumerate(specs)]
    elif len(own) == len(specs):
        signature, names = [inner._inputs_struct], own
    else:
        raise ValueError(f"export: expected input_signature for the inputs {own} of the model, got {input_signature!r}")
    arguments = [_standardized(spec, name) for spec, name in zip(specs, names)]

    def call(*values: Any) -> Any:
        return model(*tree.pack_sequence_as(signature, list(values)), training=False)

    try:
        proto = proto_of(call, arguments, names, model.name, opset, getattr(inner, "output_names", None))
    except (TracedBranch, NotCompilable) as error:
        raise NotImplementedError(f"export: model '{model.name}' is no graph of ops: {error}") from error
    if proto.ByteSize() > _MOST_BYTES:
        raise ValueError(f"export: the model has {proto.ByteSize()} bytes, and a file of this format at most 2 GiB")
    onnx.checker.check_model(proto, full_check=True)
    with replacing(filepath) as file:
        file.write(proto.SerializeToString())
    if verbose or verbose is None:
        print_message(f"Saved artifact at '{filepath}'.")


def _signature(model: Any) -> list[Any]:
    """The arguments of the call as the model knows them."""
    inputs = getattr(model, "_inputs_struct", None)
    if inputs is not None:
        return [inputs]
    shapes = model._build_shapes_dict
    if not shapes:
        raise ValueError(
            f"export: the shapes of the inputs of model '{model.name}' are not known: give `input_signature`"
        )
    return [tree.map_shape_structure(lambda s: _Argument((None, *s[1:])), s) for s in shapes.values()]


class _Argument:
    dtype = "float32"

    def __init__(self, shape: tuple[int | None, ...]) -> None:
        self.shape = shape


def _standardized(spec: Any, name: str) -> tuple[tuple[Any, ...], str]:
    """The shape, with a name for each unknown size, and the dtype of an argument."""
    shape, dtype = getattr(spec, "shape", None), getattr(spec, "dtype", None)
    if shape is None:
        raise ValueError(
            f"export: expected input {name!r} to say its shape, as InputSpec(shape=(None, 3)), got {spec!r}"
        )
    if dtype == "string":
        raise NotImplementedError(f"export: input {name!r} is text, which nacre's graphs do not hold")
    sizes = tuple(n if n is not None else "batch" if i == 0 else f"{name}_{i}" for i, n in enumerate(shape))
    return sizes, standardize_dtype(dtype, "float32")


def _known(node: Node) -> bool:
    """Whether ONNX has the op as it stands."""
    return type(node.op) in _TABLE and not (isinstance(node.op, LayerNorm) and node.op.rms)


def _output_names(structure: Any) -> list[str]:
    if isinstance(structure, dict):
        return [".".join(map(str, path)) for path in tree.paths(structure)]
    return [f"output_{i}" for i in range(len(tree.flatten(structure)))]


def _needed(nodes: list[Any], outputs: list[str]) -> tuple[list[Any], set[str]]:
    """The nodes that reach the outputs, and the names that they read."""
    read, kept = set(outputs), []
    for node in reversed(nodes):
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
            for body in (a.g for a in node.attribute if a.HasField("g")):
                read.update(name for inner in body.node for name in inner.input)
    return kept[::-1], read


def proto_of(
    fn: Any, arguments: list[tuple[Any, str]], inputs: list[str], name: str, opset: int, outputs: Any = None
) -> Any:
    """The ONNX model of `fn`, whose arguments have these shapes, in which a name stands for an unknown size, and
    dtypes."""
    frozen: dict[int, str] = {}
    shapes, dtypes = [shape for shape, _ in arguments], [dtype for _, dtype in arguments]
    found, structure = twins(fn, shapes, dtypes, frozen, _known)
    if outputs is None or len(outputs) != len(found.outputs):
        outputs = _output_names(structure)
    w = Writer(frozen, _TABLE)
    helper = w.onnx.helper
    sizes: dict[Any, str] = {}

    def info(name: str, value: Any) -> Any:
        shape = [sizes.get(n.pair) if isinstance(n, Open) else n for n in value.shape]
        return helper.make_tensor_value_info(name, w.type(value.dtype), shape)

    for own, value in zip(inputs, found.inputs):
        for axis, n in enumerate(value.shape):
            if isinstance(n, Open):
                sizes.setdefault(n.pair, "batch" if axis == 0 else f"{own}_{axis}")
        w.put(value, w.unique(own))
    ins = [info(value.names[value.natural], value) for value in found.inputs]
    names = [w.unique(own) for own in outputs]
    w.convert(found.calls)
    for own, value in zip(names, found.outputs):
        w.nodes.append(helper.make_node("Identity", [w.of(value)], [own], own))
    outs = [info(own, value) for own, value in zip(names, found.outputs)]
    nodes, read = _needed(w.nodes, names)
    graph = helper.make_graph(nodes, name, ins, outs, [v for n, v in w.initializers.items() if n in read])
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(
        graph, producer_name="nacre", opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets)
    )
