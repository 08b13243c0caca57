"""keras.utils.FeatureSpace: columns of structured data (numbers, categories, texts) as one vector per sample, or one
per column.

Each column has a `Feature`: a layer that prepares it, and what becomes of the layer's output. A `Cross` hashes
several prepared columns into one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nacre import layers, ops
from nacre.core.naming import auto_name
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.spec import is_float
from nacre.core.tensor import Tensor
from nacre.layers.categories import encoded
from nacre.layers.layer import Layer
from nacre.saving import save_model


def _known(value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(
            f"Invalid value for argument `output_mode`. Expected one of {set(choices)}. Received: output_mode={value}"
        )
    return value


class Cross:
    """Columns that are hashed into one of `crossing_dim` places together."""

    def __init__(self, feature_names: Iterable[str], crossing_dim: int, output_mode: str = "one_hot") -> None:
        self.feature_names = tuple(feature_names)
        self.crossing_dim = crossing_dim
        self.output_mode = _known(output_mode, ("int", "one_hot"))

    @property
    def name(self) -> str:
        """The names of the columns, joined."""
        return "_X_".join(self.feature_names)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "feature_names": self.feature_names,
            "crossing_dim": self.crossing_dim,
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Cross:
        """The cross of that configuration."""
        return cls(**config)


class Feature:
    """A column: its dtype, the layer that prepares it, and whether the result is an index (`"int"`), an index to be
    spread (`"one_hot"`), or numbers (`"float"`)."""

    def __init__(self, dtype: str, preprocessor: Any, output_mode: str) -> None:
        self.output_mode = _known(output_mode, ("int", "one_hot", "float"))
        self.dtype = dtype
        self.preprocessor = deserialize_keras_object(preprocessor) if isinstance(preprocessor, dict) else preprocessor

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "dtype": self.dtype,
            "preprocessor": serialize_keras_object(self.preprocessor),
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Feature:
        """The feature of that configuration."""
        return cls(**config)


class TFDIdentity(Layer):
    """The inputs, as they are; under the name that Keras saves it by."""

    def call(self, x: Any) -> Any:
        """x."""
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape


def _floats(preprocessor: Any) -> Feature:
    return Feature("float32", preprocessor, "float")


class FeatureSpace(Layer):
    """Dicts of columns (N,) or (N, 1), encoded: as one tensor (N, D), or as a dict of tensors; a dict of single values
    gives (D,).

    Args:
        features: name of a column -> its type, such as `"float_normalized"`, or `FeatureSpace.float_normalized()`:
        `float`,
            `float_normalized`, `float_rescaled`, `float_discretized`, `integer_categorical`, `string_categorical`,
            `integer_hashed`, `string_hashed`, or `FeatureSpace.feature(dtype, layer, output_mode)`.
        output_mode: `"concat"` or `"dict"`.
        crosses: tuples of names, or `FeatureSpace.cross(names, crossing_dim)`.
        crossing_dim, hashing_dim, num_discretization_bins: sizes for those that say none.

    >>> import nacre as keras
    >>> space = keras.utils.FeatureSpace({"age": "float", "city": "string_categorical"})
    >>> space.adapt({"age": [31.0, 52.0, 8.0], "city": ["Lima", "Oslo", "Lima"]})
    >>> space({"age": 40.0, "city": "Oslo"}).tolist()
    [40.0, 0.0, 0.0, 1.0]
    """

    def __init__(
        self,
        features: Any,
        output_mode: str = "concat",
        crosses: Any = None,
        crossing_dim: int = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not features:
            raise ValueError("The `features` argument cannot be None or empty.")
        if not isinstance(features, Mapping):
            raise TypeError(
                "FeatureSpace: expected `features` to be a dict from name to type or Feature, got "
                f"{type(features).__name__}: {str(features)[:80]}"
            )
        self.crossing_dim = crossing_dim
        self.hashing_dim = hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features = {key: self._standardize(key, value) for key, value in features.items()}
        self.crosses = [self._standardize_cross(cross) for cross in crosses or ()]
        unknown = sorted({n for cross in self.crosses for n in cross.feature_names} - set(self.features))
        if unknown:
            raise ValueError(
                "All features referenced in the `crosses` argument should be present in the `features` dict. Received "
                f"unknown features: {unknown}"
            )
        self.output_mode = _known(output_mode, ("concat", "dict"))
        self.preprocessors = {key: feature.preprocessor for key, feature in self.features.items()}
        self.crossers = {
            cross.name: layers.HashedCrossing(cross.crossing_dim, name=cross.name) for cross in self.crosses
        }
        self._is_adapted = self.built = not self._adaptable()
        self._inputs: Any = None
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    def build(self, input_shape: Any) -> None:
        """Nothing: the layers build themselves."""

    # --- kinds of columns ----------------------------------------------------------------------------------------

    def _standardize(self, name: str, feature: Any) -> Feature:
        if isinstance(feature, Feature):
            return feature
        if isinstance(feature, dict):
            return deserialize_keras_object(feature)  # type: ignore[no-any-return]
        sizes: dict[str, Any] = {
            "float_discretized": {"num_bins": self.num_discretization_bins},
            "integer_hashed": {"num_bins": self.hashing_dim},
            "string_hashed": {"num_bins": self.hashing_dim},
        }
        kinds = ("float", "float_normalized", "float_rescaled", "integer_categorical", "string_categorical", *sizes)
        if feature not in kinds:
            raise ValueError(f"Invalid feature type: {feature}. Expected a Feature or one of {sorted(kinds)}")
        return getattr(type(self), feature)(name=name, **sizes.get(feature, {}))  # type: ignore[no-any-return]

    def _standardize_cross(self, cross: Any) -> Cross:
        if isinstance(cross, dict):
            return deserialize_keras_object(cross)  # type: ignore[no-any-return]
        if isinstance(cross, Cross):
            return cross
        if not self.crossing_dim:
            raise ValueError(
                "When specifying `crosses`, the argument `crossing_dim` (dimensionality of the crossing space) should "
                "be specified as well."
            )
        return Cross(cross, self.crossing_dim)

    @classmethod
    def cross(cls, feature_names: Any, crossing_dim: int, output_mode: str = "one_hot") -> Cross:
        """Columns hashed together."""
        return Cross(feature_names, crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype: str, preprocessor: Any, output_mode: str) -> Feature:
        """A column prepared by a layer of your own."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Feature:
        """Numbers, as they are."""
        return _floats(TFDIdentity(dtype="float32", name=_named(name, "float")))

    @classmethod
    def float_rescaled(cls, scale: Any = 1.0, offset: Any = 0.0, name: str | None = None) -> Feature:
        """Numbers times `scale`, plus `offset`."""
        return _floats(layers.Rescaling(scale, offset, name=_named(name, "float_rescaled")))

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Feature:
        """Numbers less their mean, over their deviation."""
        return _floats(layers.Normalization(axis=-1, name=_named(name, "float_normalized")))

    @classmethod
    def float_discretized(
        cls, num_bins: int, bin_boundaries: Any = None, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """Numbers as the interval that they are in."""
        layer = layers.Discretization(
            num_bins=num_bins if bin_boundaries is None else None, bin_boundaries=bin_boundaries,
            name=_named(name, "float_discretized"),
        )  # fmt: skip
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Whole numbers that stand for categories."""
        made = layers.IntegerLookup(max_tokens, num_oov_indices, name=_named(name, "integer_categorical"))
        return Feature("int32", made, output_mode)

    @classmethod
    def string_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Strings that stand for categories."""
        made = layers.StringLookup(max_tokens, num_oov_indices, name=_named(name, "string_categorical"))
        return Feature("string", made, output_mode)

    @classmethod
    def integer_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Whole numbers hashed to `num_bins` places."""
        return Feature("int32", layers.Hashing(num_bins, name=_named(name, "integer_hashed")), output_mode)

    @classmethod
    def string_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Strings hashed to `num_bins` places."""
        return Feature("string", layers.Hashing(num_bins, name=_named(name, "string_hashed")), output_mode)

    # --- adapting ------------------------------------------------------------------------------------------------

    def _adaptable(self) -> list[str]:
        """The columns whose layers learn from data."""
        given = ("input_mean", "input_vocabulary", "input_bin_boundaries")

        def learns(layer: Any) -> bool:
            layer = getattr(layer, "_lookup_layer", layer)  # that of TextVectorization
            return hasattr(layer, "adapt") and all(getattr(layer, name, None) is None for name in given)

        return [key for key, layer in self.preprocessors.items() if learns(layer)]

    def adapt(self, dataset: Any) -> None:
        """Lets the layers learn from a dict of columns, or a data set that yields such, whole batches or single
        samples."""
        columns = dataset if isinstance(dataset, dict) else _gathered(dataset)
        for key in self._adaptable():
            values = np.asarray(columns[key])
            self.preprocessors[key].adapt(values.reshape(-1, 1) if values.ndim < 2 else values)
        self._inputs = None
        self._is_adapted = self.built = True

    def _check_adapted(self) -> None:
        if not self._is_adapted:
            raise ValueError("You need to call `.adapt(dataset)` on the FeatureSpace before you can start using it.")

    # --- encoding ------------------------------------------------------------------------------------------------

    def call(self, data: Any) -> Any:
        """The encoded columns of a dict."""
        self._check_adapted()
        if not isinstance(data, dict):
            raise ValueError(
                f"A FeatureSpace can only be called with a dict. Received: data={data} (of type {type(data)})"
            )
        columns = {key: _column(data[key], feature.dtype) for key, feature in self.features.items()}
        single = any(not x.shape for x in columns.values())
        columns = {key: ops.expand_dims(x, 0) if single and isinstance(x, Tensor) else x[None] if single else x
                   for key, x in columns.items()}  # fmt: skip
        encoded = self._encoded({key: _two_axes(x) for key, x in columns.items()})
        if not single:
            return encoded
        return (
            {k: ops.squeeze(v, 0) for k, v in encoded.items()} if isinstance(encoded, dict) else ops.squeeze(encoded, 0)
        )

    def _encoded(self, columns: dict[str, Any]) -> Any:
        prepared = {key: layer(columns[key]) for key, layer in self.preprocessors.items()}
        crossed = {
            cross.name: self.crossers[cross.name]([prepared[n] for n in cross.feature_names]) for cross in self.crosses
        }
        kinds: dict[str, Any] = {**self.features, **{cross.name: cross for cross in self.crosses}}
        values = {
            key: self._spread(key, kinds[key], parts[key]) for parts in (prepared, crossed) for key in sorted(parts)
        }
        if self.output_mode == "dict":
            return values
        for key, x in values.items():
            if not is_float(x.dtype):
                raise ValueError(
                    f"Cannot concatenate features because feature '{key}' has not been encoded (it has dtype "
                    f"{x.dtype}). Consider using `output_mode='dict'`."
                )
        parts = [ops.cast(x, "float32") for x in values.values()]
        return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    def _spread(self, key: str, kind: Any, x: Any) -> Any:
        if kind.output_mode != "one_hot":
            return x
        return encoded(x, "multi_hot", self._places(key, kind), None, "float32")

    def _places(self, key: str, kind: Any) -> int:
        """How many categories a column, or a cross, has."""
        if isinstance(kind, Cross):
            return kind.crossing_dim
        layer = kind.preprocessor
        if isinstance(layer, layers.Discretization):
            return int(layer.num_bins or len(layer.bin_boundaries) + 1)
        if isinstance(layer, layers.Hashing):
            return int(layer.num_bins)
        if hasattr(layer, "vocabulary_size"):
            return int(layer.vocabulary_size())
        raise ValueError(
            f"Feature '{key}' has `output_mode='one_hot'`. However it isn't a standard feature and the dimensionality "
            "of its output space is not known, thus it cannot be one-hot encoded. Try using `output_mode='int'`."
        )

    def get_inputs(self) -> dict[str, Any]:
        """An `Input` for each column, (N, 1)."""
        self._check_adapted()
        if self._inputs is None:
            made = {
                key: layers.Input(shape=(1,), dtype=feature.dtype, name=key) for key, feature in self.features.items()
            }
            self._inputs = made, self._encoded(made)
        return dict(self._inputs[0])

    def get_encoded_features(self) -> Any:
        """The encoded columns of `get_inputs()`, for a model."""
        self.get_inputs()
        return self._inputs[1]

    # --- saving --------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "features": serialize_keras_object(self.features),
            "output_mode": self.output_mode,
            "crosses": serialize_keras_object(self.crosses),
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The space of that configuration."""
        return cls(**config)

    def get_build_config(self) -> dict[str, Any]:
        """What each layer was built for."""
        return {key: layer.get_build_config() for key, layer in self.preprocessors.items()}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds the layers; what they have learned is read after this."""
        for key, layer in self.preprocessors.items():
            if config.get(key) and not layer.built:
                layer.build_from_config(config[key])
        self._is_adapted = self.built = True

    def save(self, filepath: Any) -> None:
        """Writes a `.keras` file, which `keras.models.load_model` reads."""
        save_model(self, filepath)


def _named(name: str | None, kind: str) -> str:
    return f"{name or auto_name(kind)}_preprocessor"


def _gathered(dataset: Any) -> dict[str, Any]:
    """The columns of a data set of dicts."""
    if isinstance(dataset, (str, bytes)) or not hasattr(dataset, "__iter__"):
        dataset = [dataset]
    columns: dict[str, list[Any]] = {}
    for sample in dataset:
        if not isinstance(sample, dict):
            raise ValueError(
                "`adapt()` can only be called on a tf.data.Dataset or a dict of arrays/lists, and the data set must "
                f"yield dicts. Received instead: {dataset} (of type {type(dataset)})"
            )
        for key, value in sample.items():
            columns.setdefault(key, []).append(np.asarray(value))
    return {key: np.concatenate([np.atleast_1d(v) for v in values]) for key, values in columns.items()}


def _column(values: Any, dtype: str) -> Any:
    """An array, or a tensor for numbers."""
    if not isinstance(values, Tensor):
        values = np.asarray(values)
        if values.dtype.kind in "OSU":
            return values
    return ops.cast(values, dtype) if dtype != "string" else values


def _two_axes(x: Any) -> Any:
    if len(x.shape) != 1:
        return x
    return ops.expand_dims(x, -1) if isinstance(x, Tensor) else x[:, None]
