"""Where boxes and arrows go: a layered drawing. Ranks by longest path, order within a rank by barycentres, positions by
blocks of vertices that stand under each other, right-angled arrows on tracks between the ranks.

The method is that of Sugiyama, Tagawa and Toda (1981). All lengths are in points; y grows downwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

GAP_X = 22.0  # between neighbours in a rank
GAP_Y = 20.0  # between ranks, before tracks
TRACK = 8.0  # between parallel arrows
LANE = 10.0  # width that a passing arrow takes in a rank
SWEEPS = 24


@dataclass
class Placed:
    """Centres of boxes, the course of each edge (points from source to target), and the size of the whole."""

    centers: list[tuple[float, float]] = field(default_factory=list)
    routes: list[list[tuple[float, float]]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


@dataclass
class _Graph:
    """Boxes and the lanes of long edges as vertices 0..n-1; every edge joins neighbouring ranks."""

    widths: list[float]
    heights: list[float]
    ranks: list[list[int]]
    rank_of: list[int]
    up: list[list[int]]
    down: list[list[int]]
    chains: list[list[int]]  # per edge: the vertices that it passes, from the upper rank to the lower
    real: int  # vertices below this are boxes


def place(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Placed:
    """A drawing from top to bottom of boxes with these (width, height)."""
    n = len(sizes)
    if n == 0:
        return Placed()
    forward, reversed_edges = _acyclic(n, edges)
    graph = _with_lanes(sizes, forward, _ranks(n, forward))
    _order(graph)
    x = _positions(graph)
    tracks, track_counts = _tracks(graph, x)
    tops, bottoms, centers = _rows(graph, track_counts)
    out = Placed()
    left = min(x[v] - graph.widths[v] / 2 for v in range(len(x)))
    right = max(x[v] + graph.widths[v] / 2 for v in range(len(x)))
    out.width, out.height = right - left, bottoms[-1]
    out.centers = [(x[v] - left, centers[graph.rank_of[v]]) for v in range(n)]
    ports = _ports(graph, x)
    for i, (source, target) in enumerate(edges):
        if source == target:
            out.routes.append(_loop(out.centers[source], sizes[source]))
            continue
        points = _route(graph, i, x, ports, tracks, tops, bottoms, centers)
        points = [(px - left, py) for px, py in points]
        out.routes.append(points[::-1] if i in reversed_edges else points)
    loops = [p for (s, t), route in zip(edges, out.routes, strict=True) if s == t for p in route]
    out.width = max([out.width, *(px for px, _ in loops)])
    return out


def _acyclic(n: int, edges: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int] | None], set[int]]:
    """Every edge in the direction from top to bottom (None for a loop), and which were turned round for that."""
    position = _depth_first(n, edges)
    out: list[tuple[int, int] | None] = []
    turned = set()
    for i, (a, b) in enumerate(edges):
        if a == b:
            out.append(None)
        elif position[a] > position[b]:
            out.append((b, a))
            turned.add(i)
        else:
            out.append((a, b))
    return out, turned


def _depth_first(n: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """A position for each vertex such that edges go forward, but for those that close a cycle."""
    following: list[list[int]] = [[] for _ in range(n)]
    for a, b in edges:
        following[a].append(b)
    position, state, time = [0] * n, [0] * n, n
    for start in range(n):
        stack = [(start, iter(following[start]))] if not state[start] else []
        if stack:
            state[start] = 1
        while stack:
            vertex, rest = stack[-1]
            for nxt in rest:
                if not state[nxt]:
                    state[nxt] = 1
                    stack.append((nxt, iter(following[nxt])))
                    break
            else:
                stack.pop()
                time -= 1
                position[vertex] = time
    return position


def _ranks(n: int, edges: Sequence[tuple[int, int] | None]) -> list[int]:
    """The longest path to each vertex; sources, and what only they lead to, are pulled down to where it is needed."""
    above: list[list[int]] = [[] for _ in range(n)]
    below: list[list[int]] = [[] for _ in range(n)]
    for edge in edges:
        if edge:
            below[edge[0]].append(edge[1])
            above[edge[1]].append(edge[0])
    rank, waiting = [0] * n, [len(a) for a in above]
    ready = [v for v in range(n) if not waiting[v]]
    order = []
    while ready:
        v = ready.pop()
        order.append(v)
        for w in below[v]:
            rank[w] = max(rank[w], rank[v] + 1)
            waiting[w] -= 1
            if not waiting[w]:
                ready.append(w)
    loose: dict[int, bool] = {}
    for v in order:
        loose[v] = all(loose[u] and len(below[u]) == 1 for u in above[v])
    for v in reversed(order):
        if loose[v] and below[v]:
            rank[v] = min(rank[w] for w in below[v]) - 1
    return rank


def _with_lanes(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int] | None], rank: list[int]
) -> _Graph:
    n = len(sizes)
    widths, heights = [s[0] for s in sizes], [s[1] for s in sizes]
    rank_of = list(rank)
    chains: list[list[int]] = []
    for edge in edges:
        if edge is None:
            chains.append([])
            continue
        chain = [edge[0]]
        for level in range(rank[edge[0]] + 1, rank[edge[1]]):
            chain.append(len(rank_of))
            rank_of.append(level)
            widths.append(LANE)
            heights.append(0.0)
        chains.append([*chain, edge[1]])
    total = len(rank_of)
    up: list[list[int]] = [[] for _ in range(total)]
    down: list[list[int]] = [[] for _ in range(total)]
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            down[a].append(b)
            up[b].append(a)
    ranks: list[list[int]] = [[] for _ in range(max(rank_of) + 1)]
    for v in range(total):
        ranks[rank_of[v]].append(v)
    return _Graph(widths, heights, ranks, rank_of, up, down, chains, n)


def _order(graph: _Graph) -> None:
    """Orders each rank so that few edges cross; keeps the best order of all sweeps."""
    best = [list(rank) for rank in graph.ranks]
    fewest = _crossings(graph)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        levels = range(1, len(graph.ranks)) if sweep % 2 == 0 else range(len(graph.ranks) - 2, -1, -1)
        neighbours = graph.up if sweep % 2 == 0 else graph.down
        for level in levels:
            place = {v: i for r in graph.ranks for i, v in enumerate(r)}
            rank = graph.ranks[level]
            key = {
                v: sum(place[w] for w in neighbours[v]) / len(neighbours[v]) if neighbours[v] else place[v]
                for v in rank
            }
            rank.sort(key=lambda v, key=key: key[v])  # type: ignore[misc]
        crossings = _crossings(graph)
        if crossings < fewest:
            fewest, best = crossings, [list(rank) for rank in graph.ranks]
    graph.ranks = best


def _crossings(graph: _Graph) -> int:
    total = 0
    for upper, lower in zip(graph.ranks, graph.ranks[1:], strict=False):
        at = {v: i for i, v in enumerate(lower)}
        ends = [e for v in upper for e in sorted(at[w] for w in graph.down[v])]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total


def _positions(graph: _Graph) -> list[float]:
    """x of every vertex. Vertices that should stand under each other are joined into blocks, which are pushed together
    from the left and from the right; the middle of four such drawings is taken (Brandes and Koepf, 2001)."""
    crossed = _crossed(graph)
    drawings = [
        _drawing(graph, crossed, downwards, mirrored) for downwards in (True, False) for mirrored in (False, True)
    ]

    def extent(x: list[float]) -> tuple[float, float]:
        return (
            min(at - width / 2 for at, width in zip(x, graph.widths, strict=True)),
            max(at + width / 2 for at, width in zip(x, graph.widths, strict=True)),
        )

    low, high = min((extent(x) for x in drawings), key=lambda e: e[1] - e[0])
    for i, x in enumerate(drawings):
        mine = extent(x)
        shift = high - mine[1] if i % 2 else low - mine[0]  # pushed to the right, or to the left
        drawings[i] = [at + shift for at in x]
    return [sum(sorted(at)[1:3]) / 2 for at in zip(*drawings, strict=True)]


def _joins(graph: _Graph, v: int, w: int) -> bool:
    """Whether w, below v, may stand under it. Boxes line up with boxes, so that the trunk of a network is straight and
    its shortcuts run beside it."""
    if v < graph.real and w >= graph.real:
        return all(other >= graph.real for other in graph.down[v])
    if w < graph.real and v >= graph.real:
        return all(other >= graph.real for other in graph.up[w])
    return True


def _crossed(graph: _Graph) -> set[tuple[int, int]]:
    """Connections that cross one between two lanes: the lanes stay straight."""
    found = set()
    for upper, lower in zip(graph.ranks, graph.ranks[1:], strict=False):
        at = {v: i for i, v in enumerate(lower)}
        pairs = [(i, at[w], v, w) for i, v in enumerate(upper) for w in set(graph.down[v])]
        lanes = [p for p in pairs if p[2] >= graph.real and p[3] >= graph.real]
        for i, j, v, w in pairs:
            if (v < graph.real or w < graph.real) and any((i - k) * (j - m) < 0 for k, m, _, _ in lanes):
                found.add((v, w))
    return found


def _drawing(graph: _Graph, crossed: set[tuple[int, int]], downwards: bool, mirrored: bool) -> list[float]:
    """x of every vertex, when each stands under (downwards) or over one of its neighbours where it can, as far to the
    left (mirrored: to the right) as possible."""
    ranks = [rank[::-1] if mirrored else rank for rank in graph.ranks]
    place = {v: i for rank in ranks for i, v in enumerate(rank)}
    block = list(range(len(place)))  # the first vertex of the block that a vertex is in
    taken: set[int] = set()
    for rank in ranks if downwards else ranks[::-1]:
        used = -1
        for v in rank:
            pairs = [(w, v) if downwards else (v, w) for w in set(graph.up[v] if downwards else graph.down[v])]
            pairs = [pair for pair in pairs if _joins(graph, *pair)]
            near = sorted((pair[0 if downwards else 1] for pair in pairs), key=place.__getitem__)
            for w in dict.fromkeys(near[(len(near) - 1) // 2 : len(near) // 2 + 1]):
                pair = (w, v) if downwards else (v, w)
                if block[v] == v and w not in taken and place[w] > used and pair not in crossed:
                    block[v], used = block[w], place[w]
                    taken.add(w)
    return [(-at if mirrored else at) for at in _pushed(graph, ranks, block)]


def _pushed(graph: _Graph, ranks: list[list[int]], block: list[int]) -> list[float]:
    """x of every vertex when blocks are as far left as distances allow, then as near to their right neighbours."""
    after: dict[int, list[tuple[int, float]]] = {b: [] for b in block}
    waiting = dict.fromkeys(after, 0)
    for rank in ranks:
        for a, b in itertools.pairwise(rank):
            after[block[a]].append((block[b], _distance(graph, a, b)))
            waiting[block[b]] += 1
    ready, order, x = [b for b in after if not waiting[b]], [], dict.fromkeys(after, 0.0)
    while ready:
        a = ready.pop()
        order.append(a)
        for b, distance in after[a]:
            x[b] = max(x[b], x[a] + distance)
            waiting[b] -= 1
            if not waiting[b]:
                ready.append(b)
    for a in reversed(order):
        x[a] = max(x[a], min((x[b] - distance for b, distance in after[a]), default=x[a]))
    return [x[b] for b in block]


def _distance(graph: _Graph, a: int, b: int) -> float:
    """The least distance of the centres of two neighbours."""
    lanes = a >= graph.real and b >= graph.real
    return (graph.widths[a] + graph.widths[b]) / 2 + (TRACK if lanes else GAP_X)


def _ports(graph: _Graph, x: list[float]) -> dict[tuple[int, int, str], float]:
    """Where an edge leaves (one place per box) and enters (side by side, in the order of their sources)."""
    ports = {}
    for v in range(len(x)):
        for w in graph.down[v]:
            ports[v, w, "out"] = x[v]
        sources = sorted(set(graph.up[v]), key=lambda w: x[w])
        # What comes straight from above enters in the middle.
        straight = [i for i, w in enumerate(sources) if abs(x[w] - x[v]) < 0.5]
        middle = straight[0] if straight and len(sources) <= 3 else (len(sources) - 1) / 2
        step = min(2.2 * TRACK, 0.3 * graph.widths[v] / max(middle, len(sources) - 1 - middle, 0.5))
        for i, w in enumerate(sources):
            ports[w, v, "in"] = x[v] + (i - middle) * step if v < graph.real else x[v]
    for v in range(graph.real):
        # A single straight connection stays straight even where the other end has several.
        for w in set(graph.down[v]):
            if len(set(graph.down[v])) == 1 and abs(ports[v, w, "out"] - ports[v, w, "in"]) < graph.widths[v] * 0.3:
                ports[v, w, "out"] = ports[v, w, "in"]
    for w in range(graph.real):
        for v in set(graph.up[w]):
            if len(set(graph.up[w])) == 1 and abs(ports[v, w, "out"] - ports[v, w, "in"]) < graph.widths[w] * 0.1:
                ports[v, w, "in"] = ports[v, w, "out"]
    return ports


def _tracks(graph: _Graph, x: list[float]) -> tuple[dict[tuple[int, int], int], list[int]]:
    """Which track between two ranks the horizontal part of each connection takes, and how many tracks there are."""
    ports = _ports(graph, x)
    tracks: dict[tuple[int, int], int] = {}
    counts = []
    for upper in graph.ranks[:-1]:
        spans = []
        for v in upper:
            for w in set(graph.down[v]):
                a, b = ports[v, w, "out"], ports[v, w, "in"]
                if abs(a - b) > 0.5:
                    spans.append((min(a, b), max(a, b), v, w))
        # Connections of one source share a track: they read as one line that branches.
        sources: dict[int, list[tuple[float, float, int, int]]] = {}
        for span in spans:
            sources.setdefault(span[2], []).append(span)
        used: list[list[tuple[float, float]]] = []
        for group in sorted(sources.values(), key=lambda g: max(s[1] for s in g) - min(s[0] for s in g)):
            low, high = min(s[0] for s in group) - 2, max(s[1] for s in group) + 2
            track = next((i for i, t in enumerate(used) if all(high < a or low > b for a, b in t)), len(used))
            if track == len(used):
                used.append([])
            used[track].append((low, high))
            for _, _, v, w in group:
                tracks[v, w] = track
        counts.append(len(used))
    return tracks, counts


def _rows(graph: _Graph, track_counts: list[int]) -> tuple[list[float], list[float], list[float]]:
    """Top, bottom and middle of each rank."""
    tops, bottoms, centers, y = [], [], [], 0.0
    for level, rank in enumerate(graph.ranks):
        height = max((graph.heights[v] for v in rank), default=0.0)
        tops.append(y)
        bottoms.append(y + height)
        centers.append(y + height / 2)
        y += height + GAP_Y
        if level < len(track_counts):
            y += max(track_counts[level] - 1, 0) * TRACK
    return tops, bottoms, centers


def _route(
    graph: _Graph,
    edge: int,
    x: list[float],
    ports: dict[tuple[int, int, str], float],
    tracks: dict[tuple[int, int], int],
    tops: list[float],
    bottoms: list[float],
    centers: list[float],
) -> list[tuple[float, float]]:
    chain = graph.chains[edge]
    points: list[tuple[float, float]] = []
    for v, w in itertools.pairwise(chain):
        level = graph.rank_of[v]
        start = centers[level] + graph.heights[v] / 2 if v < graph.real else bottoms[level]
        below = graph.rank_of[w]
        end = centers[below] - graph.heights[w] / 2 if w < graph.real else tops[below]
        a, b = ports[v, w, "out"], ports[v, w, "in"]
        points.append((a, start))
        if abs(a - b) > 0.5:
            turn = bottoms[level] + (GAP_Y - TRACK) / 2 + tracks[v, w] * TRACK
            points += [(a, turn), (b, turn)]
        points.append((b, end))
    return points


def _loop(center: tuple[float, float], size: tuple[float, float]) -> list[tuple[float, float]]:
    """An edge from a box to itself, on its right side."""
    x, y = center[0] + size[0] / 2, center[1]
    reach, half = 14.0, size[1] / 4
    return [(x, y + half), (x + reach, y + half), (x + reach, y - half), (x, y - half)]
