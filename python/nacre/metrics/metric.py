"""What a metric is, and the metrics that are means and sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nacre import initializers, ops
from nacre.core import naming, trace, tree
from nacre.core.errors import Told
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.stateless import StatelessScope
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable
from nacre.losses.loss import apply_mask, dtype_name, same_rank


class Stateless(Told):
    """The methods of a metric as functions of its state: for what has `variables`, `update_state`, `result`."""

    def stateless_update_state(self: Any, metric_variables: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """The state after a batch, for this state before it; the metric itself is left as it was."""
        with self._having(metric_variables, "stateless_update_state"):
            self.update_state(*args, **kwargs)
            return [v.value for v in self.variables]

    def stateless_result(self: Any, metric_variables: Sequence[Any]) -> Any:
        """The value for this state."""
        with self._having(metric_variables, "stateless_result"):
            return self.result()

    def stateless_reset_state(self: Any) -> list[Any]:
        """The state after a reset; the metric itself is left as it was."""
        with StatelessScope():
            self.reset_state()
            return [v.value for v in self.variables]

    def _having(self: Any, values: Sequence[Any], what: str) -> StatelessScope:
        if len(values) != len(self.variables):
            raise ValueError(
                "Argument `metric_variables` must be a list of tensors corresponding 1:1 to "
                f"{type(self).__name__}().variables. Received list with length {len(values)}, but {what} expects "
                f"{len(self.variables)} variables."
            )
        return StatelessScope(list(zip(self.variables, values)))


class Metric(Stateless):
    """State that `update_state` adds to, batch by batch, and that `result` turns into a number.

    Subclasses make Variables with `add_variable` and define `update_state` and `result`; they are then reset to zeros
    by
    `reset_state`.
    """

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise ValueError(f"{type(self).__name__}: expected `name` to be a string, got {name!r}")
        self.name = name or naming.auto_name(type(self).__name__)
        self._given_dtype = dtype
        self._dtype = dtype_name(dtype)
        self._variables: list[Variable] = []
        self._metrics: list[Metric] = []
        self._containers: dict[str, Any] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Variable, Metric)):
            tracked = self.__dict__.get("_variables" if isinstance(value, Variable) else "_metrics")
            if tracked is None:
                raise RuntimeError(
                    f"{type(self).__name__}: call `super().__init__()` as the first statement of `__init__()`, before "
                    f"setting '{name}'"
                )
            if not any(v is value for v in tracked):
                tracked.append(value)
        elif isinstance(value, (list, tuple, dict)) and "_containers" in self.__dict__ and not name.startswith("_"):
            self._containers[name] = value
        super().__setattr__(name, value)

    @property
    def dtype(self) -> str:
        """What the metric computes in."""
        return self._dtype

    @property
    def variables(self) -> list[Variable]:
        """The state, that of Variables and metrics held in attributes included, also in lists and dicts."""
        if not self._containers and not self._metrics:
            return list(self._variables)
        held = tree.flatten(list(self._containers.values()))
        metrics = [*self._metrics, *(m for m in held if isinstance(m, Metric))]
        own = [*self._variables, *(v for v in held if isinstance(v, Variable))]
        every = [*own, *(v for m in metrics for v in m.variables)]
        return list({id(v): v for v in every}.values())

    def add_variable(
        self, shape: Any, initializer: Any, dtype: Any = None, aggregation: str = "sum", name: str | None = None
    ) -> Variable:
        """A new Variable of the metric's state."""
        with naming.name_scope(self.name.replace("/", "_")):
            variable = Variable(
                initializers.get(initializer) if isinstance(initializer, (str, dict)) else initializer,
                shape=shape,
                dtype=dtype,
                trainable=False,
                aggregation=aggregation,
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """`add_variable` with Keras' defaults for layers: zeros, no axes."""
        return self.add_variable(shape, "zeros" if initializer is None else initializer, dtype, name=name)

    def reset_state(self) -> None:
        """Forgets all batches."""
        for v in self.variables:
            v.assign_zeros()

    def reset_states(self) -> None:
        """`reset_state`, as older programs call it."""
        self.reset_state()

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Adds a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define `update_state`")

    def result(self) -> Any:
        """The value over all batches since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} must define `result`")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Adds a batch; gives the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        return {"name": self.name, "dtype": self._dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The metric that `config` describes."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def samplewise(values: Any, sample_weight: Any, reduce: Callable[..., Any], dtype: str) -> tuple[Any, Any]:
    """One (weighted) value and one weight per sample; `reduce` takes away the other axes."""
    mask = getattr(values, "_keras_mask", None)
    values = ops.cast(ops.convert_to_tensor(values), dtype)
    if sample_weight is not None:  # without weights, entries that the function masked count as the 0 that they are
        sample_weight = ops.convert_to_tensor(sample_weight, dtype=dtype)
        sample_weight = apply_mask(sample_weight, mask, dtype, "sum")
        values, sample_weight = same_rank(values, sample_weight)
        rank = len(sample_weight.shape)
        if len(values.shape) > rank:
            values = reduce(values, axis=tuple(range(rank, len(values.shape))))
        if tuple(sample_weight.shape) != tuple(values.shape):
            sample_weight = ops.broadcast_to(sample_weight, values.shape)
        values = values * sample_weight
        if rank > 1:
            sample_weight = reduce(sample_weight, axis=tuple(range(1, rank)))
    if len(values.shape) > 1:
        values = reduce(values, axis=tuple(range(1, len(values.shape))))
    return values, sample_weight


def divide_no_nan(a: Any, b: Any) -> Any:
    """a / b, and 0 where b is 0."""
    if type(a) is type(b) is Tensor and a.shape == b.shape == () and a.dtype == b.dtype and not trace.tapes():
        # what a mean is after an epoch, in one operation instead of five
        if not b._array:
            return ops.zeros_like(a)
        if a.dtype != "float32":
            return ops.divide(a, b)
        with np.errstate(all="ignore"):
            return Tensor(np.asarray(a._array / b._array))
    zero = ops.equal(b, 0.0)
    return ops.where(zero, ops.zeros_like(a), a / ops.where(zero, ops.ones_like(b), b))


class Mean(Metric):
    """The (weighted) mean of all values.

    >>> m = Mean()
    >>> m.update_state([1, 3, 5, 7])
    >>> float(m.result())
    4.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self._dtype, name="total")
        self.count = self.add_variable((), "zeros", self._dtype, name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds a batch: `values` of any shape, the first axis being samples; weights broadcast to it."""
        values, weight = samplewise(values, sample_weight, ops.mean, self._dtype)
        self.total.assign(self.total + ops.sum(values))
        if weight is not None:
            count = ops.sum(weight)
        else:
            count = float(values.shape[0]) if values.shape else 1.0
        self.count.assign(self.count + count)

    def result(self) -> Any:
        """The mean so far; 0 before the first batch."""
        return divide_no_nan(self.total.value, self.count.value)


class Sum(Metric):
    """The (weighted) sum of all values."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self._dtype, name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        values, _ = samplewise(values, sample_weight, ops.sum, self._dtype)
        self.total.assign(self.total + ops.sum(values))

    def result(self) -> Any:
        """The sum so far."""
        return ops.convert_to_tensor(self.total)


class MeanMetricWrapper(Mean):
    """The mean of a function `fn(y_true, y_pred, **kwargs)` that gives a value per sample."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name=name or getattr(fn, "__name__", None), dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Adds a batch."""
        mask = getattr(y_pred, "_keras_mask", None)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if mask is not None:
            if sample_weight is not None:
                sample_weight = ops.convert_to_tensor(sample_weight, dtype=self._dtype)
            sample_weight = apply_mask(sample_weight, mask, self._dtype, reduction="sum")
        super().update_state(values, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal metric."""
        if type(self) is MeanMetricWrapper:
            return {**super().get_config(), "fn": serialize_keras_object(self._fn), **self._fn_kwargs}
        return {"name": self.name, "dtype": self._dtype, **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The metric that `config` describes."""
        if "fn" in config:
            config = {**config, "fn": deserialize_keras_object(config["fn"], package="metrics")}
        return cls(**config)
