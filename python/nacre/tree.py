"""Nested structures of lists, tuples, deques and dicts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from nacre.core import tree
from nacre.core.errors import told
from nacre.core.tree import MAP_TO_NONE, is_nested

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_sequence_as",
    "traverse",
]

assert_same_paths = told(tree.assert_same_paths)
flatten = told(tree.flatten)
flatten_with_path = told(tree.flatten_with_path)
lists_to_tuples = told(tree.lists_to_tuples)
map_shape_structure = told(tree.map_shape_structure)
traverse = told(tree.traverse)


@told
def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """`func` applied leaf by leaf; the result has the structure of the first.

    Without `none_is_leaf`, a None stays a None. Raises ValueError when the structures differ.

    >>> map_structure(lambda x, y: x * y, [2, {"a": 3}], [4, {"a": 5}])
    [8, {'a': 15}]
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: func={func}")
    if not structures:
        raise ValueError("Must provide at least one structure")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)
    if none_is_leaf:
        return tree.map_structure(func, *structures)
    return tree.map_structure(lambda *leaves: None if leaves[0] is None else func(*leaves), *structures)


@told
def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """`func` applied where `shallow_structure` has leaves; deeper structure is handed over whole.

    >>> map_structure_up_to([None, None], len, [[1, 1], [2]])
    [2, 1]
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: func={func}")
    if not structures:
        raise ValueError("Must provide at least one structure")
    for structure in structures:
        tree.assert_reaches(shallow_structure, structure)
    return tree.map_structure_up_to(shallow_structure, func, *structures)


@told
def assert_same_structure(a: Any, b: Any, check_types: bool | None = None) -> None:
    """Raises ValueError when the two nest differently: containers of one class hold as many items, or the same keys.

    Dicts of several classes count as one. `check_types` has no effect any more.
    """
    if check_types is not None:
        hint = "please remove." if check_types else (
            "For a looser check, use `keras.tree.assert_same_paths()`, which considers `list`, `tuple`, `namedtuple` "
            "and `deque` as matching"
        )  # fmt: skip
        end = ", " if check_types else ". "
        text = f"The `check_types` argument is deprecated and no longer has any effect{end}{hint}"
        warnings.warn(text, DeprecationWarning, stacklevel=3)
    tree.assert_same_structure(a, b)


@told
def pack_sequence_as(structure: Any, flat_sequence: Any) -> Any:
    """The leaves `flat_sequence` in the shape of `structure`. Raises ValueError when there are too few or too many.

    >>> pack_sequence_as({"b": [0, 0], "a": 0}, [1, 2, 3])
    {'b': [2, 3], 'a': 1}
    """
    if not isinstance(flat_sequence, Iterable):
        raise TypeError(f"`flat_sequence` must be iterable. Received: flat_sequence={flat_sequence}")
    return tree.pack_sequence_as(structure, list(flat_sequence))
