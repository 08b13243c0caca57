"""Low-rank adaptation (Hu et al. 2021): a frozen weight W is used as `W + alpha / rank * A @ B`, and A and B are
trained."""

from __future__ import annotations

from typing import Any

from nacre import initializers, ops
from nacre.layers.layer import Layer


class LowRank(Layer):
    """Base class of layers whose main weight, the `_ADAPTED` one, can be adapted.

    The attribute of that name is the Variable, or, once adapted, the sum as a tensor.
    """

    _ADAPTED = "kernel"
    lora_enabled = False
    lora_rank: int | None = None
    lora_alpha: Any = None

    def _set_lora(self, rank: Any, alpha: Any) -> None:
        self.lora_rank = rank
        self.lora_alpha = alpha if alpha is not None else rank

    def enable_lora(
        self, rank: int, lora_alpha: Any = None, a_initializer: Any = "he_uniform", b_initializer: Any = "zeros"
    ) -> None:
        """Freezes the main weight and adds the factors `lora_<name>_a` (..., rank) and `lora_<name>_b` (rank, columns).

        Raises ValueError for a layer that is not built, that has a constraint on that weight, or that is adapted
        already.
        """
        name = self._ADAPTED
        if getattr(self, f"{name}_constraint"):
            kind = "kernel" if name == "kernel" else "embedding"
            raise ValueError(
                f"Lora is incompatible with {kind} constraints. In order to enable lora on this layer, remove the "
                f"`{name}_constraint` argument."
            )
        if not self.built:
            raise ValueError("Cannot enable lora on a layer that isn't yet built.")
        if self.lora_enabled:
            raise ValueError("lora is already enabled. This can only be done once per layer.")
        self._add_factors(rank, lora_alpha, a_initializer, b_initializer)

    def _adapt_from_start(self) -> None:
        """At the end of `build`: the adaptation that the arguments asked for."""
        if self.lora_rank:
            self._add_factors(self.lora_rank, self.lora_alpha, "he_uniform", "zeros")

    def _add_factors(self, rank: int, alpha: Any, a_initializer: Any, b_initializer: Any) -> None:
        name = self._ADAPTED
        weight = getattr(self, f"_{name}")
        self._unlock_state()
        for which, shape, initializer in (
            ("a", (*weight.shape[:-1], rank), a_initializer),
            ("b", (rank, weight.shape[-1]), b_initializer),
        ):
            factor = self.add_weight(
                name=f"lora_{name}_{which}",
                shape=shape,
                initializer=initializers.get(initializer),
                dtype="float64" if weight.dtype == "float64" else "float32",
                regularizer=getattr(self, f"{name}_regularizer"),
            )
            setattr(self, f"lora_{name}_{which}", factor)
        weight.trainable = False
        self._lock_state()
        self.lora_enabled = True
        self._set_lora(rank, alpha)

    def _factors(self) -> tuple[Any, Any]:
        return getattr(self, f"lora_{self._ADAPTED}_a"), getattr(self, f"lora_{self._ADAPTED}_b")

    def _scale(self) -> float:
        assert self.lora_rank is not None
        return float(self.lora_alpha) / self.lora_rank

    def _adapted(self) -> Any:
        weight = self.__dict__.get(f"_{self._ADAPTED}")
        if weight is None:
            raise AttributeError(f"You must build the layer before accessing `{self._ADAPTED}`.")
        if not self.lora_enabled:
            return weight
        a, b = self._factors()
        return ops.add(weight, self._scale() * ops.matmul(a, b))

    @property
    def _saved(self) -> list[Any]:
        """The Variables that are saved, the main weight first."""
        mine = [*self._trainable_variables, *self._non_trainable_variables]
        if not self.lora_enabled:
            return mine
        weight = getattr(self, f"_{self._ADAPTED}")
        return [weight, *(v for v in mine if v is not weight and not any(v is f for f in self._factors()))]

    def save_own_variables(self, store: Any) -> None:
        """Writes the layer's own Variables, the main weight with its adaptation in it."""
        if not self.lora_enabled:
            super().save_own_variables(store)
            return
        for i, v in enumerate([self._adapted(), *self._saved[1:]]):
            store[f"{i}"] = v

    def load_own_variables(self, store: Any) -> None:
        """Sets the layer's own Variables; the adaptation starts again."""
        if not self.lora_enabled:
            super().load_own_variables(store)
            return
        for i, v in enumerate(self._saved):
            v.assign(ops.convert_to_tensor(store[f"{i}"][()]))
        for factor in self._factors():
            factor.assign(ops.zeros_like(factor.value))

    def _lora_config(self) -> dict[str, Any]:
        return {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha} if self.lora_rank else {}


def adapted(name: str) -> Any:
    """The property `name` of a LowRank layer; what is assigned to it is the Variable `_name`."""

    def get(self: Any) -> Any:
        return self._adapted()

    def put(self: Any, value: Any) -> None:
        setattr(self, f"_{name}", value)

    return property(get, put, doc="The weight, with its adaptation.")
