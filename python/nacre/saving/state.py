"""Which object's arrays stand where in a weights file: a walk over attributes, the same one when writing and reading.

An object is stored at the path by which the walk meets it first. Attributes are visited in sorted order, private ones
last; a container is visited in its order, its members named by their class and numbered (`layers/dense_1`), because
automatic names of layers differ from one process to the next.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nacre.core import naming
from nacre.core.variable import Postponed
from nacre.saving.h5 import DamagedFile, Reader, ReadStore, WriteStore

if TYPE_CHECKING:
    from nacre.saving.parts import Index, JoinedStore


def saveable(obj: Any) -> bool:
    """Whether `obj` is a layer, a model or an optimizer: something whose variables are saved."""
    return not isinstance(obj, type) and hasattr(type(obj), "save_own_variables")


def children(obj: Any) -> Iterator[tuple[str, Any]]:
    """(attribute name, value) of what may hold further objects."""
    cls = type(obj)
    graph = any(c.__name__ in ("Sequential", "Functional") for c in cls.__mro__)
    if graph:  # the layers that make up the model come before what a subclass adds
        yield "layers", obj.layers
    skip = _base_attributes(cls)
    for name in sorted(set(dir(obj)) - skip, key=lambda n: f"~{n}" if n.startswith("_") else n):
        if name.startswith("__") or (graph and name in ("_functional", "_operations", "operations")):
            continue
        try:
            value = getattr(obj, name)
        except Exception:  # a user's property may fail for reasons of its own; then it holds nothing to save
            continue
        if saveable(value) or isinstance(value, (list, tuple, dict)):
            yield name, value


_skips: dict[type, frozenset[str]] = {}

# Where nacre's own base classes define these, they are looked at all the same.
_VISITED = frozenset({"layers", "optimizer"})


def _base_attributes(cls: type) -> frozenset[str]:
    """The attributes that nacre's abstract base class of `cls` brings: bookkeeping, which holds nothing of its own."""
    for base in cls.__mro__:
        if base.__module__.startswith("nacre.") and base.__name__ in ("Model", "Layer", "Optimizer"):
            if base not in _skips:
                example = _example(base)
                names = set(dir(base)) | (set(vars(example)) if example is not None else set())
                _skips[base] = frozenset(names - _VISITED)
            return _skips[base]
    return frozenset()


def _example(base: type) -> Any:
    saved = dict(naming._counts)
    try:
        return base(1.0) if base.__name__ == "Optimizer" else base()
    except Exception:  # an abstract class that cannot be made: its class attributes are what we know
        return None
    finally:  # the example must not use up an automatic name
        naming._counts.clear()
        naming._counts.update(saved)


def _names(container: Any) -> Iterator[tuple[str, Any]]:
    """(name in the file, member) for what counts in a list, tuple or dict."""
    used: dict[str, int] = {}
    for member in list(container.values()) if isinstance(container, dict) else container:
        if saveable(member):
            name = naming.to_snake_case(type(member).__name__)
        elif isinstance(member, (list, tuple, dict)):
            name = "container"
        else:
            continue
        if name in used:
            used[name] += 1
            yield f"{name}_{used[name]}", member
        else:
            used[name] = 0
            yield name, member


def walk(root: Any) -> Iterator[tuple[str, Any]]:
    """(path, object) for every saveable object below `root`; an object is met as often as it can be reached."""
    containers: dict[int, Any] = {}  # kept alive: an id is only unique while its object lives
    done: set[int] = set()

    def visit(path: str, value: Any) -> Iterator[tuple[str, Any]]:
        if saveable(value):
            first = id(value) not in done
            done.add(id(value))
            yield path, value
            inner = children(value) if first else ()
        else:
            if id(value) in containers:
                return
            containers[id(value)] = value
            inner = _names(value)
        for name, child in inner:
            yield from visit(f"{path}/{name}" if path else name, child)

    yield from visit("", root)


# --- writing ---------------------------------------------------------------------------------------------------


def write_state(root: Any, file: Any, skip: Any = ()) -> None:
    """Writes the variables of `root` and of all in it, but for the objects in `skip`, into the open HDF5 file."""
    done = {id(obj) for obj in skip}
    for path, obj in walk(root):
        if id(obj) in done:
            continue
        done.add(id(obj))
        name = getattr(obj, "name", None)
        obj.save_own_variables(WriteStore(file, path, name if isinstance(name, str) else None))


# --- reading ---------------------------------------------------------------------------------------------------


def read_state(
    root: Any, reader: Reader | Index, skip_mismatch: bool = False, skip: Any = (), fresh: Postponed | None = None
) -> None:
    """Fills the variables of `root` and of everything in it from an HDF5 file, or several.

    Raises ValueError that names what could not be loaded; with `skip_mismatch` that is a warning. Objects in `skip` are
    left alone. Trouble with nothing but the optimizer is a warning, too: the model itself is whole. `fresh` says that
    the model is new, and which first values have not been drawn.
    """
    skipped = {id(obj) for obj in skip}
    stores: dict[tuple[str, int], ReadStore | JoinedStore] = {}

    def store_of(path: str, obj: Any) -> ReadStore | JoinedStore:
        if (path, id(obj)) not in stores:
            known = {str(i): v for i, v in enumerate(own_variables(obj))} if _is_plain(obj) else {}
            stores[path, id(obj)] = reader.store(f"{path}/vars", known)
        return stores[path, id(obj)]

    met: set[int] = set()
    taken: set[int] = set()
    for path, obj in walk(root):  # what is large is read while the rest is looked up
        if id(obj) not in met | skipped:
            met.add(id(obj))
            store_of(path, obj).begin(taken)
    loaded: set[int] = set()
    failed: dict[int, tuple[Any, Exception]] = {}
    for path, obj in walk(root):
        if id(obj) in loaded or id(obj) in skipped:
            continue
        variables = own_variables(obj)
        if fresh is not None and not _is_plain(obj):
            fresh.settle(variables)
        store = store_of(path, obj)
        if id(obj) in failed and not len(store):
            continue  # nothing to load under another path undoes no failure
        try:
            obj.load_own_variables(store)
        except DamagedFile:
            raise
        except (ValueError, KeyError, TypeError) as error:
            # It may be stored under another path, which the walk has still to meet.
            failed.setdefault(id(obj), (obj, error))
            continue
        loaded.add(id(obj))
        if fresh is not None:
            fresh.loaded(variables)
        failed.pop(id(obj), None)
    if failed:
        _report(list(failed.values()), reader.what, skip_mismatch)


def _is_plain(obj: Any) -> bool:
    """Whether `load_own_variables` is nacre's own, which fills `own_variables` in their order."""
    return str(type(obj).load_own_variables.__module__).startswith("nacre.")


def own_variables(obj: Any) -> list[Any]:
    """The variables that nacre's own `load_own_variables` fills, in their order."""
    if hasattr(obj, "_non_trainable_variables"):
        return [*obj._trainable_variables, *obj._non_trainable_variables]
    return list(getattr(obj, "variables", ()))


def _report(failed: list[tuple[Any, Exception]], what: str, warn: bool) -> None:
    obj, error = failed[0]
    names = ", ".join(repr(getattr(o, "name", o)) for o, _ in failed[:20])
    text = (
        f"{what}: a total of {len(failed)} objects could not be loaded. Example error message for object {obj}:\n\n"
        f"{error}\n\nList of objects that could not be loaded:\n[{names}{', ...' if len(failed) > 20 else ''}]"
    )
    only_optimizers = all(hasattr(o, "learning_rate") for o, _ in failed)
    if warn or only_optimizers:
        warnings.warn(text, stacklevel=4)
        return
    raise ValueError(text) from error
