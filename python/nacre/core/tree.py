"""Nested structures of lists, tuples and dicts. Dicts are walked in sorted key order, as Keras does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a list, tuple or dict."""
    return isinstance(structure, (list, tuple, dict, Mapping))


def _keys(mapping: Mapping[Any, Any]) -> list[Any]:
    try:
        return sorted(mapping)
    except TypeError:  # keys of several types keep their order
        return list(mapping)


def _leaves(structure: Any) -> Iterator[Any]:
    if isinstance(structure, (list, tuple)):
        for item in structure:
            yield from _leaves(item)
    elif isinstance(structure, Mapping):
        for key in _keys(structure):
            yield from _leaves(structure[key])
    else:
        yield structure


def flatten(structure: Any) -> list[Any]:
    """The leaves, in order.

    >>> flatten({"b": [1, 2], "a": 3})
    [3, 1, 2]
    """
    if not is_nested(structure):
        return [structure]
    return list(_leaves(structure))


def _rebuild_sequence(like: Any, items: list[Any]) -> Any:
    if isinstance(like, tuple):
        return type(like)(*items) if hasattr(like, "_fields") else tuple(items)
    return list(items) if type(like) is list else type(like)(items)


def paths(structure: Any) -> list[tuple[Any, ...]]:
    """Where each leaf stands: keys of dicts and positions in lists.

    >>> paths({"b": [1, 2], "a": 3})
    [('a',), ('b', 0), ('b', 1)]
    """
    if isinstance(structure, (list, tuple)):
        return [(i, *rest) for i, item in enumerate(structure) for rest in paths(item)]
    if isinstance(structure, Mapping):
        return [(key, *rest) for key in _keys(structure) for rest in paths(structure[key])]
    return [()]


def map_structure(fn: Callable[..., Any], *structures: Any) -> Any:
    """`fn` applied leaf by leaf; the result has the structure of the first. Raises ValueError when they differ."""
    first = structures[0]
    if isinstance(first, (list, tuple)):
        for other in structures[1:]:
            if not isinstance(other, (list, tuple)) or len(other) != len(first):
                raise ValueError(
                    f"map_structure: structures differ. Expected a {type(first).__name__} of {len(first)} items, "
                    f"got {other!r}"
                )
        return _rebuild_sequence(first, [map_structure(fn, *items) for items in zip(*structures)])
    if isinstance(first, Mapping):
        for other in structures[1:]:
            if not isinstance(other, Mapping) or set(other) != set(first):
                raise ValueError(
                    f"map_structure: structures differ. Expected a dict with keys {_keys(first)}, got {other!r}"
                )
        done = {key: map_structure(fn, *(s[key] for s in structures)) for key in _keys(first)}
        return {key: done[key] for key in first}
    return fn(*structures)


def map_structure_up_to(shallow: Any, fn: Callable[..., Any], *structures: Any) -> Any:
    """`fn` applied where `shallow` has leaves; deeper structure is handed over whole."""
    if isinstance(shallow, (list, tuple)):
        return _rebuild_sequence(
            shallow, [map_structure_up_to(s, fn, *items) for s, *items in zip(shallow, *structures)]
        )
    if isinstance(shallow, Mapping):
        return {key: map_structure_up_to(shallow[key], fn, *(s[key] for s in structures)) for key in shallow}
    return fn(*structures)


def is_shape(x: Any) -> bool:
    """Whether `x` is one shape: a list or tuple of ints and Nones (an empty one too)."""
    return isinstance(x, (list, tuple)) and all(d is None or isinstance(d, (int, np.integer)) for d in x)


def map_shape_structure(fn: Callable[..., Any], structure: Any) -> Any:
    """`fn` applied to each shape of a structure of shapes; a shape is a tuple or list of ints and None.

    >>> map_shape_structure(len, {"a": (None, 3), "b": [(2,), ()]})
    {'a': 2, 'b': [1, 0]}
    """
    if is_shape(structure):
        return fn(tuple(structure))
    if isinstance(structure, (list, tuple)):
        return _rebuild_sequence(structure, [map_shape_structure(fn, s) for s in structure])
    if isinstance(structure, Mapping):
        return {key: map_shape_structure(fn, s) for key, s in structure.items()}
    raise ValueError(f"map_shape_structure: expected shapes, got {structure!r}")


def pack_sequence_as(structure: Any, flat: list[Any]) -> Any:
    """The leaves `flat` in the shape of `structure`. Raises ValueError when the counts differ."""
    leaves = iter(flat)

    def build(s: Any) -> Any:
        if isinstance(s, (list, tuple)):
            return _rebuild_sequence(s, [build(item) for item in s])
        if isinstance(s, Mapping):
            done = {key: build(s[key]) for key in _keys(s)}
            return {key: done[key] for key in s}
        return next(leaves)

    expected = len(flatten(structure)) if is_nested(structure) else 1
    if expected != len(flat):
        raise ValueError(f"pack_sequence_as: the structure has {expected} leaves, got {len(flat)} values")
    return build(structure)


def packer(structure: Any) -> Callable[[list[Any]], Any]:
    """`pack_sequence_as` for this structure, made once for many calls; the number of values is not checked."""
    if not is_nested(structure):
        return lambda flat: flat[0]
    if type(structure) is dict and not any(map(is_nested, structure.values())):
        at = {key: i for i, key in enumerate(_keys(structure))}
        items = [(key, at[key]) for key in structure]
        return lambda flat: {key: flat[i] for key, i in items}
    return lambda flat: pack_sequence_as(structure, flat)


def assert_same_structure(a: Any, b: Any) -> None:
    """Raises ValueError when the two nest differently."""
    map_structure(lambda *_: None, a, b)


def lists_to_tuples(structure: Any) -> Any:
    """Lists become tuples, all the way down."""
    if isinstance(structure, (list, tuple)) and not hasattr(structure, "_fields"):
        return tuple(lists_to_tuples(s) for s in structure)
    if isinstance(structure, Mapping):
        return {key: lists_to_tuples(value) for key, value in structure.items()}
    return structure


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """(path, leaf) of every leaf.

    >>> flatten_with_path([{"foo": 42}])
    [((0, 'foo'), 42)]
    """
    return list(zip(paths(structure), flatten(structure)))


def assert_same_paths(a: Any, b: Any) -> None:
    """Raises ValueError when the two have leaves in different places; whether lists are tuples does not matter."""
    ours, theirs = set(paths(a)), set(paths(b))
    if ours != theirs:
        raise ValueError(
            f"`a` and `b` don't have the same paths. Only in `a`: {sorted(ours - theirs, key=str)}; only in `b`: "
            f"{sorted(theirs - ours, key=str)}"
        )


class _MapToNone:
    """What a function gives `traverse` to put None in the place of something."""

    def __repr__(self) -> str:
        return "keras.tree.MAP_TO_NONE"


MAP_TO_NONE = _MapToNone()


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """The structure, in which parts are replaced by what `func(part)` gives, unless that is None; MAP_TO_NONE stands
    for None. Parts come before what they hold (and replaced ones are not looked into), or after it.

    >>> traverse(lambda x: -x if isinstance(x, int) else None, [1, {"a": 2}])
    [-1, {'a': -2}]
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: func={func}")

    def replaced(part: Any) -> Any:
        found = func(part)
        return part if found is None else None if found is MAP_TO_NONE else found

    def inner(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return _rebuild_sequence(part, [traverse(func, item, top_down) for item in part])
        if isinstance(part, Mapping):
            done = {key: traverse(func, part[key], top_down) for key in _keys(part)}
            return {key: done[key] for key in part}
        return part

    if top_down:
        found = func(structure)
        return inner(structure) if found is None else None if found is MAP_TO_NONE else found
    return replaced(inner(structure))
