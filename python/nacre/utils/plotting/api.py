"""`plot_model` and `model_to_dot`."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from nacre.utils.atomic import replacing
from nacre.utils.plotting import draw
from nacre.utils.plotting.diagram import Diagram, Options, describe

_DIRECTIONS = ("TB", "LR", "BT", "RL")
_SPLINES = ("ortho", "curved", "spline", "polyline", "line", "true", "false", "")


class Dot:
    """A picture of a model: as text of the DOT language, or drawn (by nacre itself, no program is called)."""

    def __init__(self, diagram: Diagram, name: str, rankdir: str, dpi: int, splines: str, subgraph: bool) -> None:
        self.diagram = diagram
        self.name = name
        self.rankdir = rankdir
        self.dpi = dpi
        self.splines = splines
        self.subgraph = subgraph

    def to_string(self) -> str:
        """The text that Graphviz reads."""
        kind = f"subgraph {_quote('cluster_' + self.name)}" if self.subgraph else f"digraph {_quote(self.name)}"
        lines = [f"{kind} {{", f"  rankdir={self.rankdir}; dpi={self.dpi};"]
        if self.subgraph:
            lines[1] = f"  label={_quote(self.name)};"
        lines += ["  node [shape=record];", *_statements(self.diagram), "}"]
        return "\n".join(lines) + "\n"

    __str__ = to_string

    def write(self, path: Any, prog: Any = None, format: str | None = None) -> None:
        """Writes a picture (or the DOT text for `format` "raw" and "dot") to `path`."""
        text = format in ("raw", "dot") or str(path).endswith(".dot")
        data = self.to_string().encode() if text else self.create(format=format or draw.format_of(path))
        with replacing(path) as file:
            file.write(data)

    def create(self, prog: Any = None, format: str = "png") -> bytes:
        """The bytes of a picture."""
        out = io.BytesIO()
        draw.draw(self.diagram, out, format, self.rankdir, self.dpi, self.splines)
        return out.getvalue()

    def write_png(self, path: Any) -> None:
        """Writes a PNG picture."""
        self.write(path, format="png")

    def create_png(self) -> bytes:
        """The bytes of a PNG picture."""
        return self.create(format="png")

    def _repr_svg_(self) -> str:
        return self.create(format="svg").decode()


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Dot:
    """A picture of `model` that can be written in several formats; the arguments are those of `plot_model`."""
    if kwargs.pop("layer_range", None):
        raise ValueError("Argument `layer_range` is no longer supported.")
    if kwargs:
        raise ValueError(f"Unrecognized keyword arguments: {kwargs}")
    if rankdir not in _DIRECTIONS:
        raise ValueError(f"rankdir: expected one of {_DIRECTIONS}, got {rankdir!r}")
    if not hasattr(model, "layers") or not hasattr(model, "name"):
        raise ValueError(f"expected a model, got {model!r:.200}")
    if splines not in _SPLINES:
        raise ValueError(f"splines: expected one of {_SPLINES}, got {splines!r}")
    options = Options(
        shapes=show_shapes,
        dtype=show_dtype,
        names=show_layer_names,
        activations=show_layer_activations,
        trainable=show_trainable,
        nested=expand_nested,
    )
    return Dot(describe(model, options), model.name, rankdir, dpi, splines, subgraph)


def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Any:
    """Draws `model` into a file; in a notebook the picture is shown, too. Needs matplotlib (extra `plot`), no program.

    Args:
        model: a built model.
        to_file: path that ends in .png, .svg, .pdf or .jpg; None only shows.
        show_shapes: write the shapes of inputs and outputs into each box.
        show_dtype: write the dtype of the output.
        show_layer_names: write the name of the layer beside its class.
        rankdir: direction: "TB" top to bottom, "LR" left to right, "BT", "RL".
        expand_nested: show the layers of models inside the model, in a frame.
        dpi: dots per inch of a PNG.
        show_layer_activations: write the activation of layers that have one.
        show_trainable: write whether a layer is trained.
        splines: "ortho" right-angled arrows, "curved", or "line".

    Raises:
        ValueError: for a model that is not built, or an ending that is no picture.
    """
    dot = model_to_dot(
        model,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        rankdir=rankdir,
        expand_nested=expand_nested,
        dpi=dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        splines=splines,
        **kwargs,
    )
    if to_file is not None:
        path = os.fspath(to_file)
        dot.write(path if os.path.splitext(path)[1] else f"{path}.png")
    if "IPython" not in sys.modules:
        return None
    try:
        from IPython import display
    except ImportError:
        return None
    return display.Image(data=dot.create(format="png"))


# --- DOT -------------------------------------------------------------------------------------------------------


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _record(text: str) -> str:
    for mark in "\\{}|<>":
        text = text.replace(mark, f"\\{mark}")
    return text


def _statements(diagram: Diagram, indent: str = "  ") -> list[str]:
    lines = []
    for box in diagram.boxes:
        if box.inner is not None:
            lines.append(f"{indent}subgraph {_quote('cluster_' + box.key)} {{ label={_quote(box.title)};")
            lines += [*_statements(box.inner, indent + "  "), f"{indent}}}"]
            continue
        head = f"{box.title} ({box.subtitle})" if box.subtitle else box.title
        cells = [_record(head), *(_record(f"{name}: {value}") for name, value in box.rows)]
        label = "{" + "|".join(cells) + "}"
        lines.append(f'{indent}{_quote(box.key)} [label="{label.replace(chr(34), chr(39))}"];')
    for source, target in diagram.edges:
        first, last = _last(diagram.boxes[source]), _first(diagram.boxes[target])
        lines.append(f"{indent}{_quote(first)} -> {_quote(last)};")
    return lines


def _first(box: Any) -> str:
    return box.key if box.inner is None else _first(box.inner.boxes[0])


def _last(box: Any) -> str:
    return box.key if box.inner is None else _last(box.inner.boxes[-1])
