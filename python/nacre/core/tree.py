"""Nested structures of lists, tuples, deques and dicts. Dicts are walked in sorted key order, as Keras does, an
OrderedDict in its own.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

_SEQUENCES = (list, tuple, deque)


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a list, tuple, deque or dict."""
    return isinstance(structure, (list, tuple, dict, deque, Mapping))


def _keys(mapping: Mapping[Any, Any]) -> list[Any]:
    if isinstance(mapping, OrderedDict):
        return list(mapping)
    try:
        return sorted(mapping)
    except TypeError:  # keys of several types keep their order
        return list(mapping)


def _leaves(structure: Any) -> Iterator[Any]:
    if isinstance(structure, _SEQUENCES):
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


def plain_type(structure: Any) -> type:
    """The class of a part; containers that report to a layer (`nacre.layers.tracking`) count as what they stand for."""
    cls = type(structure)
    return getattr(cls, "stands_for", cls)


def _rebuild_sequence(like: Any, items: list[Any]) -> Any:
    cls = type(like)
    if cls is list:
        return list(items)
    if isinstance(like, tuple):
        return cls(*items) if hasattr(like, "_fields") else tuple(items)
    return deque(items, like.maxlen) if cls is deque else plain_type(like)(items)


def _rebuild_mapping(like: Any, done: dict[Any, Any]) -> Any:
    items = {key: done[key] for key in like}
    cls = plain_type(like)
    if cls is dict or not issubclass(cls, dict):
        return items
    return defaultdict(like.default_factory, items) if cls is defaultdict else cls(items)


def paths(structure: Any) -> list[tuple[Any, ...]]:
    """Where each leaf stands: keys of dicts and positions in lists.

    >>> paths({"b": [1, 2], "a": 3})
    [('a',), ('b', 0), ('b', 1)]
    """
    if isinstance(structure, _SEQUENCES):
        return [(i, *rest) for i, item in enumerate(structure) for rest in paths(item)]
    if isinstance(structure, Mapping):
        return [(key, *rest) for key in _keys(structure) for rest in paths(structure[key])]
    return [()]


def map_structure(fn: Callable[..., Any], *structures: Any) -> Any:
    """`fn` applied leaf by leaf; the result has the structure of the first. Raises ValueError when they differ."""
    first = structures[0]
    if isinstance(first, _SEQUENCES):
        for other in structures[1:]:
            if not isinstance(other, _SEQUENCES) or len(other) != len(first):
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
        return _rebuild_mapping(first, done)
    return fn(*structures)


def map_structure_up_to(shallow: Any, fn: Callable[..., Any], *structures: Any) -> Any:
    """`fn` applied where `shallow` has leaves; deeper structure is handed over whole."""
    if isinstance(shallow, _SEQUENCES):
        return _rebuild_sequence(
            shallow, [map_structure_up_to(s, fn, *items) for s, *items in zip(shallow, *structures)]
        )
    if isinstance(shallow, Mapping):
        keys = _keys(shallow)
        return _rebuild_mapping(
            shallow, {key: map_structure_up_to(shallow[key], fn, *(s[key] for s in structures)) for key in keys}
        )
    return fn(*structures)


def is_shape(x: Any) -> bool:
    """Whether `x` is one shape: a list or tuple of ints and Nones (an empty one too)."""
    return isinstance(x, (list, tuple)) and all(d is None or isinstance(d, (int, np.integer)) for d in x)


def map_shape_structure(func: Callable[..., Any], structure: Any) -> Any:
    """`func` applied to each shape of a structure of shapes (a tuple or list of ints and None), and to what is neither.

    >>> map_shape_structure(len, {"a": (None, 3), "b": [(2,), ()]})
    {'a': 2, 'b': [1, 0]}
    """
    if is_shape(structure):
        return func(structure)
    if isinstance(structure, _SEQUENCES):
        return _rebuild_sequence(structure, [map_shape_structure(func, s) for s in structure])
    if isinstance(structure, Mapping):
        return _rebuild_mapping(structure, {key: map_shape_structure(func, structure[key]) for key in _keys(structure)})
    return func(structure)


def pack_sequence_as(structure: Any, flat: list[Any]) -> Any:
    """The leaves `flat` in the shape of `structure`. Raises ValueError when the counts differ."""
    expected = len(flatten(structure)) if is_nested(structure) else 1
    if expected != len(flat):
        raise ValueError(f"pack_sequence_as: the number of leaves does not fit: expected: {expected}, got {len(flat)}")
    return _fill(structure, iter(flat))


def _fill(structure: Any, leaves: Iterator[Any]) -> Any:  # a function that held itself would hold the leaves, too
    if isinstance(structure, _SEQUENCES):
        return _rebuild_sequence(structure, [_fill(item, leaves) for item in structure])
    if isinstance(structure, Mapping):
        done = {key: _fill(structure[key], leaves) for key in _keys(structure)}
        return _rebuild_mapping(structure, done)
    return next(leaves)


def packer(structure: Any) -> Callable[[list[Any]], Any]:
    """`pack_sequence_as` for this structure, made once for many calls; the number of values is not checked."""
    return _packer(structure, 0)[0]


def _packer(structure: Any, begin: int) -> tuple[Callable[[list[Any]], Any], int]:
    """What packs the leaves from number `begin` on, and the number behind them."""
    cls = type(structure)
    if not is_nested(structure):
        return lambda flat: flat[begin], begin + 1
    if cls not in (list, tuple, dict):
        end = begin + len(flatten(structure))
        return lambda flat: pack_sequence_as(structure, flat[begin:end]), end
    parts, end = [], begin
    keys = _keys(structure) if cls is dict else range(len(structure))
    for key in keys:
        part, end = _packer(structure[key], end)
        parts.append(part)
    if cls is dict:
        by_key = dict(zip(keys, parts))
        items = [(key, by_key[key]) for key in structure]
        return lambda flat: {key: part(flat) for key, part in items}, end
    if not any(map(is_nested, structure)):
        return lambda flat: cls(flat[begin:end]), end
    return lambda flat: cls([part(flat) for part in parts]), end


def assert_same_structure(a: Any, b: Any) -> None:
    """Raises ValueError when the two nest differently: containers of one class hold as many items, or the same keys.

    Dicts of several classes count as one.
    """
    if is_nested(a) != is_nested(b) or (is_nested(a) and not _same_container(a, b)):
        expected = a if is_nested(a) else b
        what = ("namedtuple " if hasattr(expected, "_fields") else "") + plain_type(expected).__name__
        raise ValueError(
            f"The two structures don't have the same nested structure. Expected a {what} of the same number of items "
            f"and with the same keys. Node arity mismatch, Node keys mismatch, or different containers: {a!r} and {b!r}"
        )
    if isinstance(a, Mapping):
        for key in a:
            assert_same_structure(a[key], b[key])
    elif is_nested(a):
        for ours, theirs in zip(a, b):
            assert_same_structure(ours, theirs)


def assert_reaches(shallow: Any, deep: Any) -> None:
    """Raises ValueError when `deep` does not nest as `shallow` does; where that has a leaf, anything may stand."""
    if is_nested(shallow):
        if not is_nested(deep) or not _same_container(shallow, deep):
            assert_same_structure(shallow, deep)
        keys = list(shallow) if isinstance(shallow, Mapping) else range(len(shallow))
        for key in keys:
            assert_reaches(shallow[key], deep[key])


def _same_container(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        kinds = {dict if cls in (OrderedDict, defaultdict) else cls for cls in map(plain_type, (a, b))}
        return len(kinds) == 1 and set(a) == set(b)
    return plain_type(a) is plain_type(b) and len(a) == len(b)


def lists_to_tuples(structure: Any) -> Any:
    """Lists become tuples, all the way down."""
    if isinstance(structure, list):
        return tuple(lists_to_tuples(s) for s in structure)
    if isinstance(structure, _SEQUENCES):
        return _rebuild_sequence(structure, [lists_to_tuples(s) for s in structure])
    if isinstance(structure, Mapping):
        return _rebuild_mapping(structure, {key: lists_to_tuples(value) for key, value in structure.items()})
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


class MAP_TO_NONE:
    """What a function gives `traverse` to put None in the place of something: the class itself."""


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
        if isinstance(part, _SEQUENCES):
            return _rebuild_sequence(part, [traverse(func, item, top_down) for item in part])
        if isinstance(part, Mapping):
            done = {key: traverse(func, part[key], top_down) for key in _keys(part)}
            return _rebuild_mapping(part, done)
        return part

    if top_down:
        found = func(structure)
        return inner(structure) if found is None else None if found is MAP_TO_NONE else found
    return replaced(inner(structure))
