"""Nested structures of lists, tuples and dicts. Dicts are walked in sorted key order, as Keras does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


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


def map_structure(fn: Callable[..., Any], *structures: Any) -> Any:
    """`fn` applied leaf by leaf; the result has the structure of the first. Raises ValueError when they differ."""
    first = structures[0]
    if isinstance(first, (list, tuple)):
        for other in structures[1:]:
            if not isinstance(other, (list, tuple)) or len(other) != len(first):
                raise ValueError(f"map_structure: structures differ: {first!r} and {other!r}")
        return _rebuild_sequence(first, [map_structure(fn, *items) for items in zip(*structures)])
    if isinstance(first, Mapping):
        for other in structures[1:]:
            if not isinstance(other, Mapping) or set(other) != set(first):
                raise ValueError(f"map_structure: structures differ: {first!r} and {other!r}")
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
