"""`keras.tree`: what counts as a structure, in which order it is walked, and what is said where two differ."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any

import numpy as np
import pytest

import nacre
from nacre import layers, tree

Point = namedtuple("Point", ["x", "y"])


def test_dicts_are_walked_by_key_and_ordered_ones_in_their_order() -> None:
    assert tree.flatten({"b": 1, "a": [2, deque([3])]}) == [2, 3, 1]
    assert tree.flatten(OrderedDict([("b", 1), ("a", 2)])) == [1, 2]


@pytest.mark.parametrize(
    "structure",
    [
        deque([1, 2], maxlen=3), OrderedDict([("b", 1), ("a", 2)]), defaultdict(int, b=1), Point(1, 2),
        [1, (2, {"a": 3})],
    ],
)  # fmt: skip
def test_what_is_built_again_is_of_the_same_class(structure: Any) -> None:
    doubled = tree.map_structure(lambda x: 2 * x, structure)
    packed = tree.pack_sequence_as(structure, tree.flatten(structure))
    assert type(doubled) is type(packed) is type(structure) and packed == structure
    assert tree.flatten(doubled) == [2 * x for x in tree.flatten(structure)]


def test_containers_of_a_layer_come_back_as_plain_ones() -> None:
    class Held(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [1, {"a": 2}]

    assert tree.map_structure(lambda x: x + 1, Held().parts) == [2, {"a": 3}]


def test_none_is_a_leaf_or_left_alone() -> None:
    assert tree.map_structure(lambda x: x is None, [None, 1]) == [True, False]
    assert tree.map_structure(lambda x: x + 1, [None, 1], none_is_leaf=False) == [None, 2]


@pytest.mark.parametrize(
    ("a", "b"),
    [([1], (1,)), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (1, [1]), (Point(1, 2), (1, 2)), (deque([1]), [1])],
)
def test_structures_that_differ_are_refused(a: Any, b: Any) -> None:
    with pytest.raises(ValueError, match="don't have the same nested structure"):
        tree.assert_same_structure(a, b)
    with pytest.raises(ValueError, match="don't have the same nested structure"):
        tree.map_structure(lambda x, y: x, a, b)


def test_kinds_of_dicts_are_one_structure_and_depth_is_kept_up_to_a_shallow_one() -> None:
    tree.assert_same_structure({"a": 1}, OrderedDict(a=2))
    assert tree.map_structure_up_to([None, [None]], np.sum, [[1, 2], [[3, 4]]]) == [3, [7]]
    with pytest.raises(ValueError, match="nested structure"):
        tree.map_structure_up_to([None, [None]], np.sum, [[1, 2], 3])
    with pytest.raises(TypeError, match="must be callable"):
        tree.map_structure(3, [1])
    with pytest.raises(TypeError, match="iterable"):
        tree.pack_sequence_as([1], 3)


def test_lists_too_deep_to_be_followed_are_said_to_be():
    deep: list = []
    for _ in range(3000):
        deep = [deep]
    model = nacre.Sequential([layers.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((1, 2))
    for name, call in {
        "flatten": lambda: tree.flatten(deep),
        "map_structure": lambda: tree.map_structure(str, deep),
        "add": lambda: nacre.ops.add(deep, 1),
        "Sequential 'sequential.*'": lambda: model(deep),
        "fit": lambda: model.fit(x, deep, verbose=0),
    }.items():
        with pytest.raises(
            ValueError, match=f"{name}: lists or dicts are nested too deep.*=a (list|tuple) nested deeper"
        ):
            call()
    with pytest.raises(RecursionError):  # of a function of the user's own
        tree.map_structure(endless, [1])
    with pytest.raises(TypeError, match="got a list nested deeper"):
        nacre.ops.shape(deep)


def endless(x):
    return endless(x)
