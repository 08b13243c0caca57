"""Optimizers with their arguments, and the gradients of eight steps: for the tests of behaviour and against Keras."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

rng = np.random.RandomState(0)
GRADIENTS = [[rng.randn(3, 4).astype("float32"), rng.randn(4).astype("float32")] for _ in range(8)]
FIRST = [rng.randn(3, 4).astype("float32"), rng.randn(4).astype("float32")]
SCHEDULES: dict[str, tuple[str, dict[str, Any]]] = {
    "cosine": ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 5}),
    "warmup": (
        "CosineDecay",
        {"initial_learning_rate": 0.0, "decay_steps": 10, "alpha": 0.1, "warmup_target": 0.2, "warmup_steps": 4},
    ),
    "restarts": ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 4, "m_mul": 0.9}),
    "even restarts": (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 4, "t_mul": 1.0, "alpha": 0.1},
    ),
    "exponential": ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}),
    "staircase": (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5, "staircase": True},
    ),
    "inverse time": ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5}),
    "steps": ("PiecewiseConstantDecay", {"boundaries": [2, 5], "values": [0.1, 0.2, 0.3]}),
    "polynomial": ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 5}),
    "cycle": ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 5, "cycle": True, "power": 2.0}),
}


class Case(NamedTuple):
    """An optimizer by class and arguments; a learning rate may name a schedule."""

    cls: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return "-".join([self.cls, *(f"{k}={v}" for k, v in self.arguments.items() if k != "learning_rate")])


SHARED: list[dict[str, Any]] = [
    {},
    {"clipnorm": 0.5},
    {"clipvalue": 0.1},
    {"global_clipnorm": 0.7},
    {"weight_decay": 0.1},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 3},
    {
        "gradient_accumulation_steps": 2,
        "clipnorm": 0.4,
        "weight_decay": 0.05,
        "use_ema": True,
        "ema_overwrite_frequency": 2,
    },
    {"loss_scale_factor": 4.0},
]
_CLASSES = (
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Adamax",
    "Nadam",
    "Ftrl",
    "Lion",
    "Adafactor",
    "Lamb",
)
ALL = [
    *(Case(name, {"learning_rate": 0.1}) for name in _CLASSES),
    *(Case(name, {"learning_rate": 0.1, "weight_decay": 0.01}) for name in _CLASSES),
    *(Case("Adam", {"learning_rate": 0.1, **options}) for options in SHARED[1:]),
    *(Case("SGD", {"learning_rate": 0.1, "momentum": 0.9, **options}) for options in SHARED),
    Case("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    Case("Adam", {"learning_rate": 0.1, "amsgrad": True}),
    Case("RMSprop", {"learning_rate": 0.1, "centered": True}),
    Case("RMSprop", {"learning_rate": 0.1, "momentum": 0.9, "centered": True}),
    Case(
        "Ftrl",
        {"learning_rate": 0.1, "l1_regularization_strength": 0.1, "l2_regularization_strength": 0.1, "beta": 0.1},
    ),
    Case("Ftrl", {"learning_rate": 0.1, "l2_shrinkage_regularization_strength": 0.1}),
    Case("Adafactor", {"learning_rate": 0.1, "relative_step": False, "clip_threshold": 0.5}),
    *(Case("SGD", {"learning_rate": name}) for name in SCHEDULES),
    Case("Adam", {"learning_rate": "cosine", "gradient_accumulation_steps": 2}),
]


def make(optimizers: Any, case: Case) -> Any:
    """The optimizer of `case` from a module such as `nacre.optimizers`."""
    arguments = dict(case.arguments)
    if isinstance(arguments.get("learning_rate"), str):
        name, options = SCHEDULES[arguments["learning_rate"]]
        arguments["learning_rate"] = getattr(optimizers.schedules, name)(**options)
    return getattr(optimizers, case.cls)(**arguments)


def trajectory(framework: Any, optimizer: Any) -> list[Any]:
    """Both variables after each of the steps, and at the end of training."""
    variables = [framework.Variable(w, name=n) for w, n in zip(FIRST, ("kernel", "bias"), strict=True)]
    found = []
    for gradients in GRADIENTS:
        optimizer.apply([framework.ops.convert_to_tensor(g) for g in gradients], variables)
        found += [np.array(v) for v in variables]
    optimizer.finalize_variable_values(variables)
    return found + [np.array(v) for v in variables]
