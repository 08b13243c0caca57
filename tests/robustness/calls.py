"""Calls that nobody should make, drawn by a seeded chance: `python tests/robustness/calls.py BATTERY COUNT [FIRST]`.

A good call of every public layer, op, loss, metric, optimizer, initializer and of `fit` is taken, and one or two of its
arguments are replaced. It must give a result or an exception of a kind that tells the caller something; never an
error from deep inside, a crash, a hang, or an error without words of its own.
"""

from __future__ import annotations

import gc
import inspect
import random
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import nacre as keras
from cases import NO_CASE, all_cases
from layers import layer_cases
from losses import loss_cases
from metrics import metric_cases
from nacre.core.errors import accidental

MEMORY = 6 << 30  # of address space
SECONDS = 10
# What tells the caller nothing.
INSIDE = (
    AttributeError, KeyError, AssertionError, UnboundLocalError, SystemError, RecursionError, ZeroDivisionError,
    OverflowError, NameError, StopIteration, BufferError, TimeoutError,
)  # fmt: skip

RNG = np.random.default_rng(0)


def readonly() -> np.ndarray[Any, Any]:
    out = RNG.normal(size=(2, 5)).astype("float32")
    out.flags.writeable = False
    return out


class Odd:
    """Has a shape and a dtype, and is no array."""

    shape = (2, 3)
    dtype = "float32"


ARRAYS: list[Any] = [
    np.zeros((0,), "float32"), np.zeros((0, 5), "float32"), np.zeros((2, 0), "float32"), np.float32(3), np.zeros(()),
    np.full((2, 5), np.nan, "float32"), np.full((2, 5), np.inf, "float32"), RNG.normal(size=(5, 4)).astype("float32").T,
    readonly(), RNG.normal(size=(2, 5)).astype(">f4"), RNG.normal(size=(2, 5)).astype("float16"),
    np.ones((2, 5), "complex64"),
    np.ones((2, 5), object), np.array([["a", "b"]]), np.ones((2, 5), "int8"), np.full((2, 5), 2**40),
    np.full((2, 5), -7), np.ones((2, 5), bool), np.broadcast_to(np.float32(1), (2, 5)),
    np.lib.stride_tricks.as_strided(np.zeros(4, "float32"), (2, 3), (4, 4)),
    np.lib.stride_tricks.as_strided(np.zeros(1, "float32"), (200, 200), (0, 0)), np.ones((1,) * 32, "float32"),
    np.ones((2, 5), "uint64"),
    np.ones((2, 5), "M8[s]"), np.ma.masked_array(np.ones((2, 5)), mask=True), np.matrix([[1.0, 2.0]]),
    memoryview(b"abc"), np.zeros(2, dtype=[("x", "f4")]), RNG.normal(size=(4, 10)).astype("float32")[::2, ::-2], Odd(),
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, 1, -1, 2, 3, 7, 2**31, 2**40, 2**63, -(2**63), 10**30, 0.5, -0.5, 1.5, 0.0, float("nan"),
    float("inf"),
    1e308, 1e-300, 1j, "", "x", "relu", "same", "float32", "float16", "string", b"x", [], (), {}, [0], [-1], [1, 2],
    (2, 2),
    (0, 0), (-1, 3), [2**40, 2**40], (2**62, 4), [None], [[1, 2], [3]], ["x"], {"a": 1}, set(), object(), int, len,
    lambda *_: None, range(3), np.int64(2), np.float32(0.5), np.array(2), np.array([1, 2]), slice(1), ...,
    NotImplemented, Odd(), (1,) * 40, {"class_name": "Dense", "config": {"units": 2}}, "é" * 1000,
]  # fmt: skip


# --- batteries: each gives (name, thunk) ------------------------------------------------------------------------------

Call = tuple[str, Callable[[], Any]]


def ops(rng: random.Random) -> Call:
    case = rng.choice(_op_cases)
    args, kwargs = case.draw(), dict(case.kwargs)
    places: list[Any] = [*range(len(args)), *kwargs]
    try:
        names = inspect.signature(case.function).parameters
        places += [n for n in names if n not in kwargs and list(names).index(n) >= len(args)]
    except (TypeError, ValueError):
        pass
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.choice(places)
        bad = rng.choice(ARRAYS if rng.random() < 0.6 and place in range(len(args)) else VALUES)
        if isinstance(place, int):
            args[place] = bad
        else:
            kwargs[place] = bad
    return f"ops.{case.function.__name__}({_short(args)}, {_short(kwargs)})", lambda: case.function(*args, **kwargs)


def layers(rng: random.Random) -> Call:
    case = rng.choice(_layer_cases)
    if rng.random() < 0.5:  # a good layer on bad data
        inputs = case.inputs()
        if isinstance(inputs, list) and rng.random() < 0.7:
            inputs[rng.randrange(len(inputs))] = rng.choice(ARRAYS)
        else:
            inputs = rng.choice(ARRAYS if rng.random() < 0.8 else VALUES)
        if case.spread and not isinstance(inputs, list):
            inputs = [inputs]
        kwargs = {rng.choice(("training", "mask")): rng.choice(VALUES)} if rng.random() < 0.2 else {}
        return f"{case.name} on {_short(inputs)}, {kwargs}", lambda: case.run(case.make(keras.layers), inputs, **kwargs)
    good = case.make(keras.layers)
    cls = type(good)
    names = [
        n
        for n, p in inspect.signature(cls.__init__).parameters.items()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ][1:]
    config = good.get_config()
    config.pop("name", None)
    changes = {rng.choice([*names, "dtype", "name", "trainable", "activity_regularizer"]): rng.choice(VALUES)}
    if rng.random() < 0.3:
        changes[rng.choice([*names, "dtype"])] = rng.choice(VALUES)

    def make() -> Any:
        given = {k: v for k, v in config.items() if k in names}
        layer = cls(**{**given, **changes})
        case.run(layer, case.inputs())
        layer.get_config()
        layer.compute_output_shape(case.shapes)
        return layer

    return f"{cls.__name__}({_short(changes)})", make


def losses(rng: random.Random) -> Call:
    case = rng.choice(loss_cases.ALL)
    y = [case.y_true, case.y_pred, None]
    arguments = dict(case.arguments)
    if rng.random() < 0.7:
        y[rng.randrange(3)] = rng.choice(ARRAYS if rng.random() < 0.8 else VALUES)
    else:
        names = list(inspect.signature(getattr(keras.losses, case.cls).__init__).parameters)[1:]
        arguments[rng.choice(names)] = rng.choice(VALUES)
    return f"{case.cls}({_short(arguments)})({_short(y)})", lambda: getattr(keras.losses, case.cls)(**arguments)(
        y[0], y[1], sample_weight=y[2]
    )


def metrics(rng: random.Random) -> Call:
    case = rng.choice(metric_cases.ALL)
    data = list(case.data)
    arguments = dict(case.arguments)
    weight = None
    if rng.random() < 0.6:
        data[rng.randrange(len(data))] = rng.choice(ARRAYS if rng.random() < 0.8 else VALUES)
    elif rng.random() < 0.3:
        weight = rng.choice(ARRAYS)
    else:
        names = [
            n
            for n in inspect.signature(getattr(keras.metrics, case.cls).__init__).parameters
            if n not in ("self", "kwargs", "args")
        ]
        if names:
            arguments[rng.choice(names)] = rng.choice(VALUES)

    def run() -> Any:
        metric = getattr(keras.metrics, case.cls)(**arguments)
        metric.update_state(*data, **({} if weight is None else {"sample_weight": weight}))
        metric.get_config()
        return metric.result()

    return f"{case.cls}({_short(arguments)}).update_state({_short(data)}, {_short(weight)})", run


def optimizers(rng: random.Random) -> Call:
    name = rng.choice(
        [
            n
            for n in keras.optimizers.__all__
            if inspect.isclass(getattr(keras.optimizers, n)) and n not in ("Optimizer", "LossScaleOptimizer")
        ]
    )
    cls = getattr(keras.optimizers, name)
    parameters = [
        n
        for n, p in inspect.signature(cls.__init__).parameters.items()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ][1:]
    changes = {rng.choice(parameters): rng.choice(VALUES)}
    gradients: list[Any] = [np.ones((3, 4), "float32"), np.ones(4, "float32")]
    if rng.random() < 0.4:
        changes = {}
        if rng.random() < 0.8:
            gradients[rng.randrange(2)] = rng.choice(ARRAYS)
        else:
            gradients = rng.choice(VALUES)

    def run() -> Any:
        optimizer = cls(**changes)
        variables = [keras.Variable(np.ones((3, 4), "float32")), keras.Variable(np.ones(4, "float32"))]
        for _ in range(2):
            optimizer.apply(gradients, variables)
        return optimizer.get_config()

    return f"{name}({_short(changes)}).apply({_short(gradients)})", run


def small(rng: random.Random) -> Call:
    """Initializers, regularizers, constraints, activations, schedules, callbacks, random numbers, utilities."""
    package = rng.choice((
        keras.initializers, keras.regularizers, keras.constraints, keras.activations, keras.optimizers.schedules,
        keras.callbacks,
        keras.random, keras.utils, keras.preprocessing.sequence, keras.preprocessing.text, keras.models,
        keras.dtype_policies, keras.ops,
    ))  # fmt: skip
    skipped = (
        "get_file",
        "Progbar",
        "install_as_keras",
        "plot_model",
        "disable_interactive_logging",
        "enable_interactive_logging",
    )
    skipped += (
        "vectorize",
        "RemoteMonitor",
        "TensorBoard",
        "set_random_seed",
        "audio_dataset_from_directory",
        "image_dataset_from_directory",
        "text_dataset_from_directory",
    )
    names = NO_CASE if package is keras.ops else package.__all__
    name = rng.choice([n for n in names if n not in skipped and callable(getattr(package, n))])
    function = getattr(package, name)
    try:
        parameters = [
            n
            for n, p in inspect.signature(function).parameters.items()
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
    except (TypeError, ValueError):
        parameters = []
    required = [
        n for n, p in inspect.signature(function).parameters.items() if p.default is p.empty and n in parameters
    ]
    given = {n: rng.choice(VALUES if rng.random() < 0.5 else ARRAYS) for n in required}
    if parameters and rng.random() < 0.6:
        given[rng.choice(parameters)] = rng.choice(VALUES)

    def run() -> Any:
        made = function(**given)
        if package in (keras.initializers,) and inspect.isclass(function):
            made(rng.choice(((3, 4), (2**31, 2**31), (-1, 2), (), (0,), (3.5,), None, "x")))
        elif package in (keras.regularizers, keras.constraints, keras.optimizers.schedules) and inspect.isclass(
            function
        ):
            made(rng.choice([*ARRAYS, *VALUES]))
        return made

    return f"{package.__name__}.{name}({_short(given)})", run


def fit(rng: random.Random) -> Call:
    model = _model()
    method = rng.choice(
        (
            "fit",
            "fit",
            "fit",
            "evaluate",
            "predict",
            "train_on_batch",
            "test_on_batch",
            "predict_on_batch",
            "compile",
            "__call__",
        )
    )
    x, y = RNG.normal(size=(20, 5)).astype("float32"), RNG.integers(0, 3, 20)
    given: dict[str, Any] = {"compile": {"optimizer": "sgd", "loss": "mse"}, "__call__": {"inputs": x}}.get(
        method, {"x": x, "y": y}
    )
    if method.startswith("predict"):
        given.pop("y")
    names = [
        n
        for n, p in inspect.signature(getattr(type(model), method)).parameters.items()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    names = [*(n for n in names if n not in ("self", "verbose")), *given]
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(names)
        if name in ("epochs", "steps_per_epoch", "steps", "validation_steps"):
            given[name] = rng.choice([v for v in VALUES if not isinstance(v, int) or v < 10])
        elif name in ("x", "y", "sample_weight", "inputs") and rng.random() < 0.7:
            given[name] = rng.choice(
                [*ARRAYS, _generator(0), _generator(1), _generator(3, True), (x, y), [x, y], {"x": x}]
            )
        else:
            given[name] = rng.choice(VALUES)
    if method == "__call__":
        given = {"inputs": given.get("inputs"), **{k: v for k, v in given.items() if k in ("training", "mask")}}
        return f"model({_short(given)})", lambda: model(**given)
    if method in ("fit", "evaluate", "predict"):
        given["verbose"] = 0

    def run() -> Any:
        try:
            return getattr(model, method)(**given)
        finally:  # whatever happened, the model is as good as before
            model.compile("sgd", "sparse_categorical_crossentropy")
            model.stop_training = False
            loss = model.fit(x, y, epochs=1, verbose=0).history["loss"][0]
            poisoned = not all(np.isfinite(w).all() for w in model.get_weights())
            if poisoned:
                _models.clear()
            else:
                assert np.isfinite(loss), "the model does not train any more"

    return f"model.{method}({_short(given)})", run


def _generator(n: int, fails: bool = False) -> Any:
    for _ in range(n):
        yield np.zeros((4, 5), "float32"), np.zeros(4, "int32")
    if fails:
        raise RuntimeError("the generator fails")


_models: list[Any] = []


def _model() -> Any:
    if not _models:
        model = keras.Sequential(
            [keras.Input((5,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3, activation="softmax")]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        _models.append(model)
    return _models[0]


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}>"
    if isinstance(value, (list, tuple)) and len(value) < 6:
        return f"[{', '.join(map(_short, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {_short(v)}' for k, v in value.items())}}}"
    return f"{value!r:.60}"


# --- one call ---------------------------------------------------------------------------------------------------------


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"longer than {SECONDS} s")


def attempt(thunk: Callable[[], Any]) -> str | None:
    """What was wrong with how the call was treated; None when nothing was."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        thunk()
    except INSIDE as error:
        if str(error).startswith("Exception encountered when calling"):  # names the layer and shows its arguments
            return None
        return traceback.format_exc(limit=-4)
    except Exception as error:
        if len(str(error)) <= 8 or _unclear(error):
            return f"an error without words of its own: {traceback.format_exc(limit=-4)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def _unclear(error: Exception) -> bool:
    """Whether Python or NumPy came upon it inside of nacre, so that it does not say what was given where."""
    modules = [frame.f_globals["__name__"] for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, TypeError) and modules[-1] == "nacre.core.errors":
        return False  # arguments that do not fit the parameters: Python's words name both
    inside = error.__traceback__
    while inside is not None and not inside.tb_frame.f_globals["__name__"].startswith("nacre."):
        inside = inside.tb_next
    return inside is not None and accidental(error.with_traceback(inside))


_op_cases: list[Any] = []
_layer_cases: list[Any] = []


def main(battery: str, count: int, first: int = 0) -> int:
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _too_long)
    _op_cases.extend(all_cases())
    _layer_cases.extend(layer_cases.ALL)
    bad = 0
    for number in range(first, first + count):
        rng = random.Random(f"{battery} {number}")
        name, thunk = globals()[battery](rng)
        print(
            f"{number}: {name}"[:400], file=sys.stderr, flush=True
        )  # the last line tells which call it was that crashed
        wrong = attempt(thunk)
        if wrong:
            bad += 1
            print(f"--- {battery} {number}: {name}: {wrong}", flush=True)
        if number % 50 == 0:
            gc.collect()
    print(f"{battery}: {count} calls, {bad} treated wrongly")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
