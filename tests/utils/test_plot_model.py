import itertools

import numpy as np
import pytest

import nacre as keras
from nacre import layers as L
from nacre.utils.plotting.diagram import Options, describe
from nacre.utils.plotting.layout import place

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install nacre[plot]")
# Deprecations inside matplotlib and its dependencies are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def fresh_names():
    keras.utils.clear_session()


def two_inputs():
    a, b = keras.Input((8, 8, 1), name="image"), keras.Input((3,), name="text")
    x = L.Flatten()(L.MaxPooling2D()(L.Conv2D(4, 3, activation="relu")(a)))
    joined = L.Concatenate()([x, L.Dense(4)(b)])
    return keras.Model([a, b], [L.Dense(2, name="first")(joined), L.Dense(3, name="second")(joined)])


def nested():
    inner = keras.Sequential([L.Input((4,)), L.Dense(3), L.Dense(2)], name="inner")
    a = keras.Input((4,))
    return keras.Model(a, L.Dense(1)(inner(a)), name="outer")


def shared():
    layer, a = L.Dense(4, name="again"), keras.Input((4,))
    return keras.Model(a, layer(layer(a)))


def test_boxes_and_arrows_are_those_of_the_graph():
    diagram = describe(two_inputs(), Options(names=True, shapes=True, activations=True))
    titles = [box.title for box in diagram.boxes]
    assert set(titles) == {
        "image",
        "text",
        "conv2d",
        "max_pooling2d",
        "flatten",
        "dense",
        "concatenate",
        "first",
        "second",
    }
    edges = {(titles[a], titles[b]) for a, b in diagram.edges}
    assert edges == {
        ("image", "conv2d"),
        ("conv2d", "max_pooling2d"),
        ("max_pooling2d", "flatten"),
        ("flatten", "concatenate"),
        ("text", "dense"),
        ("dense", "concatenate"),
        ("concatenate", "first"),
        ("concatenate", "second"),
    }
    conv = diagram.boxes[titles.index("conv2d")]
    assert conv.rows == [("Activation", "relu"), ("Input", "(None, 8, 8, 1)"), ("Output", "(None, 6, 6, 4)")]


def test_nested_models_are_shown_in_full_when_asked_for():
    plain = describe(nested(), Options())
    assert [box.title for box in plain.boxes] == ["InputLayer", "Sequential", "Dense"]
    full = describe(nested(), Options(nested=True))
    inner = full.boxes[1].inner
    assert full.boxes[1].title == "inner" and [box.title for box in inner.boxes][-2:] == ["Dense", "Dense"]


def test_a_shared_layer_is_one_box():
    diagram = describe(shared(), Options(names=True))
    assert len(diagram.boxes) == 2 and sorted(diagram.edges) == [(0, 1), (1, 1)]


def test_a_model_that_is_not_built_says_what_to_do():
    with pytest.raises(ValueError, match="has not yet been built"):
        keras.utils.plot_model(keras.Sequential([L.Dense(2)]), None)


@pytest.mark.parametrize("make", [two_inputs, nested, shared])
@pytest.mark.parametrize("rankdir", ["TB", "LR", "BT", "RL"])
def test_every_direction_is_drawn(tmp_path, make, rankdir):
    path = tmp_path / "m.png"
    keras.utils.plot_model(make(), path, rankdir=rankdir, dpi=40, expand_nested=True, show_shapes=True)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("ending", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG"), ("jpg", b"\xff\xd8")]
)
@pytest.mark.parametrize("splines", ["ortho", "curved", "line"])
def test_every_format_is_written(tmp_path, ending, start, splines):
    if ending == "jpg":
        pytest.importorskip("PIL", reason="needs Pillow: pip install pillow")
    path = tmp_path / f"m.{ending}"
    options = {"show_dtype": True, "show_layer_names": True, "show_layer_activations": True, "show_trainable": True}
    keras.utils.plot_model(two_inputs(), path, dpi=40, splines=splines, **options)
    assert path.read_bytes().startswith(start)


def test_dot_text_names_layers_and_edges(tmp_path):
    text = keras.utils.model_to_dot(nested(), expand_nested=True, show_shapes=True).to_string()
    assert 'subgraph "cluster_inner"' in text and '"inner/dense' in text and " -> " in text and "(None, 4)" in text
    keras.utils.model_to_dot(nested()).write(tmp_path / "m.dot", format="raw")
    assert (tmp_path / "m.dot").read_text().startswith('digraph "outer"')


@pytest.mark.parametrize(
    ("options", "text"),
    [({"rankdir": "XX"}, "rankdir"), ({"splines": "zigzag"}, "splines"), ({"layer_range": ["a", "b"]}, "layer_range")],
)
def test_options_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        keras.utils.plot_model(two_inputs(), None, **options)


def test_an_ending_that_is_no_picture_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="ends in one of png"):
        keras.utils.plot_model(two_inputs(), tmp_path / "m.txt")


# --- layout: properties that hold for any graph -----------------------------------------------------------------


def graphs():
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = int(rng.integers(1, 25))
        edges = {(int(a), int(b)) for a, b in rng.integers(0, n, (int(rng.integers(0, 2 * n)), 2))}
        if rng.random() < 0.7:
            edges = {(min(e), max(e)) for e in edges if e[0] != e[1]}
        yield [(float(w), float(h)) for w, h in rng.integers(30, 150, (n, 2))], sorted(edges)


def box(center, size):
    return center[0] - size[0] / 2, center[1] - size[1] / 2, center[0] + size[0] / 2, center[1] + size[1] / 2


@pytest.mark.parametrize("graph", list(graphs()), ids=lambda g: f"{len(g[0])}-{len(g[1])}")
def test_boxes_do_not_overlap_and_arrows_end_at_them(graph):
    sizes, edges = graph
    drawn = place(sizes, edges)
    boxes = [box(c, s) for c, s in zip(drawn.centers, sizes, strict=True)]
    for i, a in enumerate(boxes):
        assert a[0] >= -1e-6 and a[1] >= -1e-6 and a[2] <= drawn.width + 1e-6 and a[3] <= drawn.height + 1e-6
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] + 1e-6 or b[2] <= a[0] + 1e-6 or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6
    for (source, target), route in zip(edges, drawn.routes, strict=True):
        for end, at in ((source, route[0]), (target, route[-1])):
            left, top, right, bottom = boxes[end]
            assert left - 1e-6 <= at[0] <= right + 1e-6 and top - 1e-6 <= at[1] <= bottom + 1e-6


@pytest.mark.parametrize("graph", list(graphs()), ids=lambda g: f"{len(g[0])}-{len(g[1])}")
def test_arrows_do_not_run_through_boxes(graph):
    sizes, edges = graph
    drawn = place(sizes, edges)
    boxes = [box(c, s) for c, s in zip(drawn.centers, sizes, strict=True)]
    for (source, target), route in zip(edges, drawn.routes, strict=True):
        if source == target:
            continue
        for (ax, ay), (bx, by) in itertools.pairwise(route):
            for i, (left, top, right, bottom) in enumerate(boxes):
                if i in (source, target):
                    continue
                inside_x = max(ax, bx) > left + 1e-6 and min(ax, bx) < right - 1e-6
                inside_y = max(ay, by) > top + 1e-6 and min(ay, by) < bottom - 1e-6
                assert not (inside_x and inside_y), (source, target, i)


def test_a_chain_is_straight():
    drawn = place([(60, 20), (90, 30), (40, 20)], [(0, 1), (1, 2)])
    assert np.allclose([x for x, _ in drawn.centers], 45) and all(len(route) == 2 for route in drawn.routes)


def test_shortcuts_leave_the_trunk_straight_though_boxes_differ_in_width():
    sizes = [(60, 20), (140, 20), (50, 20), (90, 20), (30, 20), (60, 20), (120, 20), (40, 20)]
    drawn = place(sizes, [*itertools.pairwise(range(8)), (1, 4), (4, 7), (0, 7)])
    xs = [x for x, _ in drawn.centers]
    assert max(xs) - min(xs) < 1e-6
    assert all(len(route) == 2 for route in drawn.routes[:7])


def test_a_short_branch_starts_where_it_is_needed():
    drawn = place([(60, 20)] * 7, [(0, 1), (1, 2), (2, 3), (3, 6), (4, 5), (5, 6)])
    ys = [y for _, y in drawn.centers]
    assert ys[5] == ys[3] and ys[4] == ys[2] and ys[0] < ys[1] < ys[2]
