"""Whether more of a metric is better."""

from __future__ import annotations

from typing import Any

_UP = (
    "Accuracy",
    "AUC",
    "Precision",
    "Recall",
    "TruePositives",
    "TrueNegatives",
    "F1Score",
    "FBetaScore",
    "IoU",
    "R2Score",
    "CosineSimilarity",
    "PearsonCorrelation",
    "ConcordanceCorrelation",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "PrecisionAtRecall",
    "RecallAtPrecision",
)
_DOWN = (
    "Error",
    "Crossentropy",
    "Hinge",
    "Divergence",
    "Poisson",
    "FalsePositives",
    "FalseNegatives",
    "LogCosh",
)


def direction(model: Any, monitor: str, callback: str) -> str:
    """`"max"` or `"min"` for the log `monitor`. Raises ValueError when that cannot be known.

    A metric class may say it with an attribute `_direction` ("up" or "down").
    """
    name = monitor.removeprefix("val_")
    if name == "loss" or name.endswith("_loss"):
        return "min"
    metric = _find(model, name)
    if metric is not None:
        said = getattr(metric, "_direction", None)
        if said in ("up", "down"):
            return "max" if said == "up" else "min"
        names = [cls.__name__ for cls in type(metric).__mro__]
        function = getattr(getattr(metric, "_fn", None), "__name__", "")
        if any(part in n for n in names for part in _UP) or "accuracy" in function:
            return "max"
        if any(part in n for n in names for part in _DOWN) or "error" in function:
            return "min"
    elif name in ("acc", "accuracy") or name.endswith(("_acc", "_accuracy")):
        return "max"
    raise ValueError(
        f"{callback} callback received monitor={monitor}, but nacre isn't able to automatically determine whether "
        "that metric should be maximized or minimized. Pass `mode='max'` in order to monitor based on the highest "
        "metric value, or pass `mode='min'` in order to use the lowest value."
    )


def _find(model: Any, name: str) -> Any:
    for metric in getattr(model, "metrics", ()):
        inner = getattr(metric, "metrics", None)
        for m in inner if inner is not None else [metric]:
            if m.name == name:
                return m
    for metric in getattr(model, "metrics", ()):
        for m in getattr(metric, "metrics", None) or []:
            if name.endswith(f"_{m.name}") or name.startswith(f"{m.name}_"):
                return m
    return None
