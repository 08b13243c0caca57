"""Attributes that hold state: what is assigned to a layer is filed by kind, containers included."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from nacre.core.variable import Variable


def is_metric(value: Any) -> bool:
    """Whether `value` behaves as a Metric: a class with update_state, result and reset_state."""
    cls = type(value)
    return hasattr(cls, "update_state") and hasattr(cls, "result") and hasattr(cls, "reset_state")


def is_seed_generator(value: Any) -> bool:
    """Whether `value` behaves as a SeedGenerator: `next()` and a Variable `state`."""
    return hasattr(type(value), "next") and isinstance(getattr(value, "state", None), Variable)


class TrackedList(list):  # type: ignore[type-arg]
    """A list that reports what is put into it to the layer that owns it."""

    stands_for = list
    _track: Callable[[Any], Any]
    _untrack: Callable[[Any], None]

    def __init__(self, values: Iterable[Any], track: Callable[[Any], Any], untrack: Callable[[Any], None]) -> None:
        self._track, self._untrack = track, untrack
        super().__init__(track(v) for v in values)

    def append(self, value: Any) -> None:
        super().append(self._track(value))

    def insert(self, index: Any, value: Any) -> None:
        super().insert(index, self._track(value))

    def extend(self, values: Iterable[Any]) -> None:
        super().extend(self._track(v) for v in values)

    def __iadd__(self, values: Iterable[Any]) -> TrackedList:  # type: ignore[misc]
        self.extend(values)
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, [self._track(v) for v in value] if isinstance(index, slice) else self._track(value))

    def __delitem__(self, index: Any) -> None:
        for v in self[index] if isinstance(index, slice) else [self[index]]:
            self._untrack(v)
        super().__delitem__(index)

    def pop(self, index: Any = -1) -> Any:
        value = super().pop(index)
        self._untrack(value)
        return value

    def remove(self, value: Any) -> None:
        super().remove(value)
        self._untrack(value)

    def clear(self) -> None:
        for v in self:
            self._untrack(v)
        super().clear()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list(self),)

    def __deepcopy__(self, memo: Any) -> list[Any]:
        return [deepcopy(v, memo) for v in self]


class TrackedDict(dict):  # type: ignore[type-arg]
    """A dict that reports what is put into it to the layer that owns it."""

    stands_for = dict
    _track: Callable[[Any], Any]
    _untrack: Callable[[Any], None]

    def __init__(self, values: dict[Any, Any], track: Callable[[Any], Any], untrack: Callable[[Any], None]) -> None:
        self._track, self._untrack = track, untrack
        self.default_factory = getattr(values, "default_factory", None)
        super().__init__({key: track(v) for key, v in values.items()})

    def __missing__(self, key: Any) -> Any:
        if self.default_factory is None:
            raise KeyError(key)
        self[key] = self.default_factory()
        return self[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, self._track(value))

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def __delitem__(self, key: Any) -> None:
        self._untrack(self[key])
        super().__delitem__(key)

    def pop(self, key: Any, *default: Any) -> Any:
        if key in self:
            self._untrack(self[key])
        return super().pop(key, *default)

    def popitem(self, *args: Any, **kwargs: Any) -> Any:
        key, value = super().popitem(*args, **kwargs)
        self._untrack(value)
        return key, value

    def clear(self) -> None:
        for v in self.values():
            self._untrack(v)
        super().clear()

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.default_factory is not None:
            return defaultdict, (self.default_factory, dict(self))
        return self.stands_for, (dict(self),)

    def __deepcopy__(self, memo: Any) -> dict[Any, Any]:
        make, (*factory, items) = self.__reduce_ex__(4)
        return make(*factory, {key: deepcopy(v, memo) for key, v in items.items()})  # type: ignore[no-any-return]


class TrackedOrderedDict(TrackedDict, OrderedDict):  # type: ignore[type-arg]
    """The same for one that can be put in another order."""

    stands_for = OrderedDict


class TrackedSet(set):  # type: ignore[type-arg]
    """A set that reports what is put into it to the layer that owns it."""

    def __init__(self, values: Iterable[Any], track: Callable[[Any], Any], untrack: Callable[[Any], None]) -> None:
        self._track, self._untrack = track, untrack
        super().__init__(track(v) for v in values)

    def add(self, value: Any) -> None:
        super().add(self._track(value))

    def update(self, *others: Iterable[Any]) -> None:
        for values in others:
            super().update(self._track(v) for v in values)

    def remove(self, value: Any) -> None:
        super().remove(value)
        self._untrack(value)

    def discard(self, value: Any) -> None:
        if value in self:
            self.remove(value)

    def pop(self) -> Any:
        value = super().pop()
        self._untrack(value)
        return value

    def clear(self) -> None:
        for v in self:
            self._untrack(v)
        super().clear()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return set, (set(self),)


# What becomes which; instances of other subclasses of list, dict and set stay themselves.
TRACKED: dict[type, Any] = {
    **dict.fromkeys((list, TrackedList), TrackedList),
    **dict.fromkeys((dict, defaultdict, TrackedDict), TrackedDict),
    **dict.fromkeys((OrderedDict, TrackedOrderedDict), TrackedOrderedDict),
    **dict.fromkeys((set, TrackedSet), TrackedSet),
}
