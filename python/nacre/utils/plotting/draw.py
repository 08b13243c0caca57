"""Draws a diagram with matplotlib, without a display."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacre.utils.plotting.diagram import Box, Diagram
from nacre.utils.plotting.layout import place

FORMATS = ("png", "svg", "pdf", "jpg", "jpeg")
_MARGIN = 14.0
_PAD = 9.0
_LINE = 13.0
_HEAD = 18.0
_SPACE = 9.0  # between title and subtitle
_PIXELS = 30000  # more in one direction than viewers show

# Header colours by family of layers, dark enough for white text.
_COLORS = {
    "input": "#5b6770",
    "convolution": "#b5452c",
    "pooling": "#2f7f5f",
    "dense": "#2b6ca3",
    "recurrent": "#7a4a9c",
    "attention": "#8a3b6f",
    "merge": "#8a6d1f",
    "normalization": "#3f6f8f",
    "embedding": "#5c5fa8",
    "regularization": "#7d7468",
    "activation": "#a35a20",
    "shape": "#607078",
    "model": "#3a4148",
    "other": "#4b5563",
}
_INK, _SOFT, _EDGE, _PAPER, _NEST = "#1f2933", "#5f6c78", "#52606d", "#ffffff", "#f3f5f7"


def _matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("plot_model needs matplotlib: pip install matplotlib (or nacre[plot])") from None


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of `text` in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text.replace("$", r"\$"), size=size, prop=font, usetex=False).get_extents().width)


@dataclass
class _Placed:
    """A diagram with sizes and places, those of nested diagrams included."""

    diagram: Diagram
    sizes: list[tuple[float, float]]
    centers: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    width: float
    height: float
    inner: dict[int, _Placed] = field(default_factory=dict)


def _size(box: Box) -> tuple[float, float]:
    title = text_width(box.title, 9, True) + (text_width(box.subtitle, 8) + _SPACE if box.subtitle else 0)
    label = max((text_width(name, 7.5) for name, _ in box.rows), default=0.0)
    value = max((text_width(text, 8) for _, text in box.rows), default=0.0)
    width = max(title + 2 * _PAD, label + value + 3 * _PAD if box.rows else 0, 64.0)
    return width, _HEAD + (_LINE * len(box.rows) + 5 if box.rows else 0)


def _place(diagram: Diagram, sideways: bool) -> _Placed:
    inner = {i: _place(box.inner, sideways) for i, box in enumerate(diagram.boxes) if box.inner is not None}
    sizes = []
    for i, box in enumerate(diagram.boxes):
        width, height = _size(box)
        if i in inner:
            width = max(width, inner[i].width + 2 * _PAD)
            height += inner[i].height + 2 * _PAD
        sizes.append((width, height))
    turned = [(h, w) for w, h in sizes] if sideways else sizes
    at = place(turned, diagram.edges)
    if sideways:
        centers = [(y, x) for x, y in at.centers]
        routes = [[(y, x) for x, y in route] for route in at.routes]
        return _Placed(diagram, sizes, centers, routes, at.height, at.width, inner)
    return _Placed(diagram, sizes, at.centers, at.routes, at.width, at.height, inner)


def draw(diagram: Diagram, target: Any, file_format: str, rankdir: str, dpi: int, splines: str) -> None:
    """Writes the picture into `target` (a path or a binary file). `rankdir` is TB, LR, BT or RL."""
    _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    placed = _place(diagram, rankdir in ("LR", "RL"))
    width, height = placed.width + 2 * _MARGIN, placed.height + 2 * _MARGIN
    figure = Figure(figsize=(width / 72, height / 72))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-_MARGIN, placed.width + _MARGIN)
    axes.set_ylim(placed.height + _MARGIN, -_MARGIN)
    axes.axis("off")
    pen = _Pen(axes, splines, placed.width, placed.height, rankdir)
    pen.diagram(placed, 0.0, 0.0)
    dpi = max(min(dpi, int(_PIXELS * 72 / max(width, height))), 10)
    dates: dict[str, Any] = {"svg": {"metadata": {"Date": None}}, "pdf": {"metadata": {"CreationDate": None}}}
    figure.savefig(target, format=file_format, dpi=dpi, facecolor=_PAPER, **dates.get(file_format, {}))


class _Pen:
    """Puts boxes, texts and arrows on the axes; BT and RL are mirror images of TB and LR."""

    def __init__(self, axes: Any, splines: str, width: float, height: float, rankdir: str, depth: int = 0) -> None:
        self.axes = axes
        self.curved = splines in ("curved", "true", "spline")
        self.straight = splines in ("line", "polyline", "false", "")
        self.width, self.height = width, height
        self.rankdir = rankdir
        self.sideways = rankdir in ("LR", "RL")
        self.depth = depth

    def at(self, x: float, y: float) -> tuple[float, float]:
        if self.rankdir == "BT":
            return x, self.height - y
        return (self.width - x, y) if self.rankdir == "RL" else (x, y)

    def layer(self, z: int) -> int:
        """Nested diagrams are drawn above the frame that they are in."""
        return z + 4 * self.depth

    def diagram(self, placed: _Placed, x0: float, y0: float) -> None:
        for route in placed.routes:
            self.arrow([self.at(x + x0, y + y0) for x, y in route])
        for i, box in enumerate(placed.diagram.boxes):
            cx, cy = self.at(placed.centers[i][0] + x0, placed.centers[i][1] + y0)
            self.box(box, cx, cy, *placed.sizes[i])
            if i in placed.inner:
                inner = placed.inner[i]
                rows = _size(box)[1]
                # The nested picture is mirrored on its own, inside its frame.
                left = cx - inner.width / 2
                top = cy - placed.sizes[i][1] / 2 + rows + _PAD
                pen = _Pen(self.axes, "", inner.width, inner.height, self.rankdir, self.depth + 1)
                pen.curved, pen.straight = self.curved, self.straight
                pen.shifted(inner, left, top)

    def shifted(self, placed: _Placed, left: float, top: float) -> None:
        """Draws a nested diagram whose own corner is at (left, top)."""
        plain = self.at
        self.at = lambda x, y: (plain(x, y)[0] + left, plain(x, y)[1] + top)  # type: ignore[method-assign]
        self.diagram(placed, 0.0, 0.0)

    def box(self, box: Box, cx: float, cy: float, width: float, height: float) -> None:
        from matplotlib.patches import FancyBboxPatch

        left, top = cx - width / 2, cy - height / 2
        color = _COLORS[box.kind]
        rounded = "round,pad=0,rounding_size=3.5"
        body = FancyBboxPatch(
            (left, top),
            width,
            height,
            boxstyle=rounded,
            fc=_NEST if box.inner else _PAPER,
            ec=color,
            lw=0.9,
            zorder=self.layer(3),
        )
        head = FancyBboxPatch(
            (left, top), width, _HEAD, boxstyle=rounded, fc=color, ec=color, lw=0.9, zorder=self.layer(4)
        )
        self.axes.add_patch(body)
        self.axes.add_patch(head)
        middle = top + _HEAD / 2
        if box.subtitle:
            whole = text_width(box.title, 9, True) + _SPACE + text_width(box.subtitle, 8)
            start = cx - whole / 2
            self.text(start, middle, box.title, 9, _PAPER, "left", bold=True)
            self.text(start + whole, middle, box.subtitle, 8, "#e6eaee", "right")
        else:
            self.text(cx, middle, box.title, 9, _PAPER, "center", bold=True)
        y = top + _HEAD + 2.5 + _LINE / 2
        for name, value in box.rows:
            self.text(left + _PAD, y, name, 7.5, _SOFT, "left")
            self.text(left + width - _PAD, y, value, 8, _INK, "right")
            y += _LINE

    def text(self, x: float, y: float, text: str, size: float, color: str, ha: str, bold: bool = False) -> None:
        self.axes.text(
            x,
            y,
            text,
            fontsize=size,
            color=color,
            ha=ha,
            va="center_baseline",
            family="DejaVu Sans",
            weight="bold" if bold else "normal",
            zorder=self.layer(5),
            parse_math=False,
        )

    def arrow(self, points: list[tuple[float, float]]) -> None:
        from matplotlib.patches import FancyArrowPatch

        style = "-|>,head_length=4.2,head_width=2.2"
        self.axes.add_patch(
            FancyArrowPatch(
                path=self.path(points),
                arrowstyle=style,
                mutation_scale=1,
                shrinkA=0,
                shrinkB=0,
                lw=1.0,
                ec=_EDGE,
                fc=_EDGE,
                joinstyle="round",
                zorder=self.layer(2),
            )
        )

    def without_turns(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """The points at the borders of ranks only: what runs along a track is left out."""
        axis = 0 if self.sideways else 1
        kept: list[tuple[float, float]] = []
        i = 0
        while i < len(points):
            if i + 1 < len(points) and _flat(points[i], points[i + 1], axis):
                i += 2
                continue
            kept.append(points[i])
            i += 1
        return kept

    def path(self, points: list[tuple[float, float]]) -> Any:
        from matplotlib.path import Path as Curve

        loop = len(points) == 4 and (points[0][0] == points[3][0] or points[0][1] == points[3][1])
        if self.straight and not loop:
            return Curve([points[0], points[-1]])
        vertices, codes = [points[0]], [Curve.MOVETO]
        if self.curved and not loop:
            for (ax, ay), (bx, by) in itertools.pairwise(self.without_turns(points)):
                one, two = ((ax, (ay + by) / 2), (bx, (ay + by) / 2))
                if self.sideways:
                    one, two = (((ax + bx) / 2, ay), ((ax + bx) / 2, by))
                vertices += [one, two, (bx, by)]
                codes += [Curve.CURVE4] * 3
            return Curve(vertices, codes)
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            one, two = _towards(corner, before, 4.0), _towards(corner, after, 4.0)
            vertices += [one, corner, two]
            codes += [Curve.LINETO, Curve.CURVE3, Curve.CURVE3]
        return Curve([*vertices, points[-1]], [*codes, Curve.LINETO])


def _flat(a: tuple[float, float], b: tuple[float, float], axis: int) -> bool:
    return abs(a[axis] - b[axis]) < 1e-6


def _towards(a: tuple[float, float], b: tuple[float, float], step: float) -> tuple[float, float]:
    """The point `step` (at most half the way) from a to b."""
    length = ((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5
    if not length:
        return a
    share = min(step / length, 0.5)
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def format_of(path: Any) -> str:
    """The format that the ending of `path` asks for. Raises ValueError for one that cannot be written."""
    name = Path(str(path)).suffix.lstrip(".").lower() or "png"
    if name not in FORMATS:
        raise ValueError(f"plot_model: expected a file that ends in one of {', '.join(FORMATS)}, got {str(path)!r}")
    return name
