"""Knowledge distillation: a student learns from labels and from what a teacher says (Hinton et al. 2015; FitNets)."""

from __future__ import annotations

from typing import Any

from nacre import losses as _losses
from nacre import ops
from nacre.core import tree
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.metrics import Mean
from nacre.models.model import Model

__all__ = ["DistillationLoss", "Distiller", "FeatureDistillation", "LogitsDistillation"]


class DistillationLoss:
    """What a student loses to its teacher; a subclass overrides `compute_loss`."""

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """The loss, a scalar tensor."""
        raise NotImplementedError("Subclasses must implement compute_loss")

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Raises ValueError unless both are of one structure."""
        tree.assert_same_structure(teacher_outputs, student_outputs)

    def validate_model_compatibility(self, teacher: Any, student: Any) -> None:
        """Raises ValueError when the loss cannot be computed of these models."""


class _OfOutputs(DistillationLoss):
    """The sum of one loss per output; None leaves an output out."""

    def __init__(self, loss: Any, nothing: str) -> None:
        self.loss = tree.map_structure(lambda each: None if each is None else _losses.get(each), loss)
        if all(each is None for each in tree.flatten(self.loss)):
            raise ValueError(nothing)

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        super().validate_outputs(teacher_outputs, student_outputs)
        if tree.is_nested(self.loss):
            tree.assert_same_structure(self.loss, teacher_outputs)

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """The loss, a scalar tensor."""
        self.validate_outputs(teacher_outputs, student_outputs)
        outputs = list(zip(tree.flatten(teacher_outputs), tree.flatten(student_outputs)))
        each = tree.flatten(self.loss) if tree.is_nested(self.loss) else [self.loss] * len(outputs)
        return sum(ops.mean(self._compare(loss, *pair)) for loss, pair in zip(each, outputs) if loss is not None)

    def _compare(self, loss: Any, of_teacher: Any, of_student: Any) -> Any:
        return loss(of_teacher, of_student)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal loss of."""
        return {"loss": tree.map_structure(lambda each: None if each is None else _serialized(each), self.loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The loss that had this config."""
        return cls(**{**config, "loss": _deserialized(config["loss"])})


def _serialized(loss: Any) -> Any:
    return serialize_keras_object(loss)


def _deserialized(loss: Any) -> Any:
    if isinstance(loss, dict) and "class_name" not in loss:
        return {key: _deserialized(each) for key, each in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [_deserialized(each) for each in loss]
    return _losses.deserialize(loss) if isinstance(loss, dict) else loss


class LogitsDistillation(_OfOutputs):
    """`loss` of the teacher's and the student's final outputs, both divided by `temperature`. A `KLDivergence` object
    compares what softmax makes of these, times `temperature` squared (Hinton et al. 2015).

    Args:
        temperature: a positive number. loss: a name, a function or a Loss, or a structure of such as the outputs are.

    >>> loss = LogitsDistillation(temperature=2.0, loss="mse")
    >>> float(loss.compute_loss(ops.array([[2.0, 4.0]]), ops.array([[0.0, 0.0]])))
    2.5
    """

    def __init__(self, temperature: float = 3.0, loss: Any = "kl_divergence") -> None:
        if not isinstance(temperature, (int, float)):
            raise ValueError(f"temperature must be a number, got {type(temperature)}")
        if temperature <= 0:
            raise ValueError("temperature must be positive.")
        super().__init__(loss, "At least one loss must be non-`None`.")
        self.temperature = temperature

    def _compare(self, loss: Any, of_teacher: Any, of_student: Any) -> Any:
        t = self.temperature
        if isinstance(loss, _losses.KLDivergence):
            return loss(ops.softmax(of_teacher / t), ops.softmax(of_student / t)) * t**2
        return loss(of_teacher / t, of_student / t)

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature, **super().get_config()}


class FeatureDistillation(_OfOutputs):
    """`loss` of what a layer of the teacher and one of the student compute.

    Args:
        loss: a name, a function or a Loss, or a structure of such as the outputs are.
        teacher_layer_name, student_layer_name: None for the final outputs.
    """

    def __init__(
        self, loss: Any = "mse", teacher_layer_name: str | None = None, student_layer_name: str | None = None
    ) -> None:
        super().__init__(
            loss, "The `loss` argument in `FeatureDistillation` must contain at least one non-`None` value."
        )
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name

    def validate_model_compatibility(self, teacher: Any, student: Any) -> None:
        named = self.teacher_layer_name is not None or self.student_layer_name is not None
        subclassed = [role for role, m in (("teacher", teacher), ("student", student)) if not _has_graph(m)]
        if named and subclassed:
            raise ValueError(
                "FeatureDistillation with specific layer names requires Functional or Sequential models. The "
                f"{' and '.join(subclassed)} model(s) appear to be subclassed (no symbolic inputs/outputs). Either use "
                "Functional/Sequential models, or use FeatureDistillation without layer names (to distill final "
                "outputs only), or use LogitsDistillation instead."
            )
        for role, model, name in (
            ("teacher", teacher, self.teacher_layer_name),
            ("student", student, self.student_layer_name),
        ):
            if name is None:
                continue
            try:
                model.get_layer(name=name)
            except ValueError as error:
                raise ValueError(f"In {role} model: {error}") from None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
        }


def _has_graph(model: Any) -> bool:
    """Whether the model knows its inputs and outputs: a functional one, or a Sequential that is built."""
    return bool(getattr(model, "inputs", None)) and bool(getattr(model, "outputs", None))


class Distiller(Model):
    """Trains `student` on labels and on what `teacher`, which stays as it is, says of the same inputs.

    The loss is `student_loss_weight` times that of `compile` and the rest times the weighted sum of
    `distillation_losses`; both parts and their sum are reported as `student_loss`, `distillation_loss` and
    `total_loss`. The model itself computes what the student does.

    Args:
        teacher, student: models for the same inputs, with outputs of the same shapes and dtypes.
        distillation_losses: one or a list. distillation_loss_weights: one per loss, 1.0 each by default.
        student_loss_weight: 0 to 1.

    Raises:
        ValueError: where the models do not go together, or a weight is missing.
    """

    def __init__(
        self,
        teacher: Any,
        student: Any,
        distillation_losses: Any,
        distillation_loss_weights: Any = None,
        student_loss_weight: float = 0.5,
        name: str | None = "distiller",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        for role, model in (("Teacher", teacher), ("Student", student)):
            if not isinstance(model, Model):
                raise ValueError(f"{role} must be a keras.Model, got {type(model)}")
        _check_alike(teacher, student)
        if not isinstance(student_loss_weight, (int, float)):
            raise ValueError(f"student_loss_weight must be a number, got {type(student_loss_weight)}")
        if not 0 <= student_loss_weight <= 1:
            raise ValueError(f"student_loss_weight must be between 0.0 and 1.0, got {student_loss_weight}")
        if distillation_losses is None:
            raise ValueError(
                "'distillation_losses' cannot be `None`. Provide a distillation loss (e.g., LogitsDistillation or "
                "FeatureDistillation) or a list of distillation losses."
            )
        self.teacher, self.student = teacher, student
        self.student_loss_weight = student_loss_weight
        self.distillation_losses = _listed(distillation_losses)
        weights = _listed(distillation_loss_weights) if distillation_loss_weights is not None else None
        self.distillation_loss_weights = [1.0] * len(self.distillation_losses) if weights is None else weights
        if len(self.distillation_loss_weights) != len(self.distillation_losses):
            raise ValueError(
                f"Number of distillation_loss_weights ({len(self.distillation_loss_weights)}) must match number of "
                f"distillation_losses ({len(self.distillation_losses)})"
            )
        for loss in self.distillation_losses:
            if not isinstance(loss, DistillationLoss):
                raise ValueError(f"expected a DistillationLoss in `distillation_losses`, got {loss!r}")
            loss.validate_model_compatibility(teacher, student)
        self._teacher_feature_extractor = _extractor(teacher, self._layers_of("teacher"))
        self._student_feature_extractor = _extractor(student, self._layers_of("student"))
        teacher.trainable = False
        self.student_loss_tracker = Mean(name="student_loss")
        self.distillation_loss_tracker = Mean(name="distillation_loss")
        self.total_loss_tracker = Mean(name="total_loss")

    def _layers_of(self, role: str) -> list[str]:
        """The layers whose outputs some loss needs."""
        names = [getattr(loss, f"{role}_layer_name", None) for loss in self.distillation_losses]
        return list(dict.fromkeys(name for name in names if name is not None))

    def compile(  # type: ignore[override]  # Keras' signature
        self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **kwargs: Any
    ) -> None:
        """As `Model.compile`; `loss` is the student's, which must be given."""
        if loss is None:
            raise ValueError("'loss' cannot be `None`.")
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        Model.compile(self, **deserialize_keras_object(config))
        if self.built and hasattr(self.optimizer, "build"):
            self.optimizer.build(self.trainable_variables)

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """What the student computes."""
        return self.student(inputs, training=training, **kwargs)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The weighted loss of a batch, a scalar tensor."""
        weight = self.student_loss_weight
        student_loss, distillation_loss = ops.array(0.0), ops.array(0.0)
        if weight > 0 and y is not None:
            student_loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if weight < 1:
            taught = _features(self.teacher, self._teacher_feature_extractor, self._layers_of("teacher"), x, False)
            taught = tree.map_structure(ops.stop_gradient, taught)
            student = self._student_feature_extractor
            learnt = _features(self.student, student, self._layers_of("student"), x, training) if student else {}
            learnt[None] = y_pred
            for loss, each in zip(self.distillation_losses, self.distillation_loss_weights):
                of_teacher = taught[getattr(loss, "teacher_layer_name", None)]
                of_student = learnt[getattr(loss, "student_layer_name", None)]
                distillation_loss = distillation_loss + each * loss.compute_loss(of_teacher, of_student)
        total = weight * student_loss + (1 - weight) * distillation_loss
        self.student_loss_tracker.update_state(student_loss)
        self.distillation_loss_tracker.update_state(distillation_loss)
        self.total_loss_tracker.update_state(total)
        return total

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "teacher": serialize_keras_object(self.teacher),
            "student": serialize_keras_object(self.student),
            "distillation_losses": [serialize_keras_object(loss) for loss in self.distillation_losses],
            "distillation_loss_weights": list(self.distillation_loss_weights),
            "student_loss_weight": self.student_loss_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The distiller that had this config."""
        made = dict(config)
        for key in ("teacher", "student", "distillation_losses"):
            made[key] = deserialize_keras_object(made[key], custom_objects=custom_objects)
        return cls(**made)


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _extractor(model: Any, layers: list[str]) -> Any:
    """A model of the final outputs and those of the layers; None where final outputs are all that is needed."""
    if not layers:
        return None
    outputs = [model.get_layer(name=name).output for name in layers]
    return Model(model.inputs, [*model.outputs, *outputs], name=f"{model.name}_multi_feature_extractor")


def _features(model: Any, extractor: Any, layers: list[str], x: Any, training: bool) -> dict[str | None, Any]:
    """The final outputs (under None) and those of the layers, by name."""
    if extractor is None:
        return {None: model(x, training=training)}
    outputs = tree.flatten(extractor(x, training=training))
    final = len(outputs) - len(layers)
    of_model = tree.pack_sequence_as(model.output, outputs[:final])
    return {None: of_model, **dict(zip(layers, outputs[final:]))}


def _check_alike(teacher: Any, student: Any) -> None:
    """Raises ValueError where both know their inputs and outputs, and these differ."""
    if not (_has_graph(teacher) and _has_graph(student)):
        return
    for what in ("input", "output"):
        ours, theirs = (tree.flatten(getattr(m, f"{what}s")) for m in (teacher, student))
        if len(ours) != len(theirs):
            raise ValueError(f"Teacher has {len(ours)} {what}s, the student {len(theirs)}: they must have as many.")
        for a, b in zip(ours, theirs):
            fit = len(a.shape) == len(b.shape) and all(None in (m, n) or m == n for m, n in zip(a.shape, b.shape))
            if not fit:
                raise ValueError(
                    f"Teacher and student {what} shapes are incompatible. Teacher: {tuple(a.shape)}, Student: "
                    f"{tuple(b.shape)}. All dimensions must match."
                )
            if a.dtype != b.dtype:
                raise ValueError(
                    f"Teacher and student {what} dtypes must match. Teacher: {a.dtype}, Student: {b.dtype}."
                )
