"""FeatureSpace: structured data as vectors, its files, and its errors."""

import numpy as np
import pytest

import nacre as keras

FeatureSpace = keras.utils.FeatureSpace
DATA = {
    "age": [10.0, 20.0, 30.0, 40.0],
    "city": ["Lima", "Oslo", "Lima", "Rome"],
    "size": [3, 3, 5, 7],
    "width": [0.1, 0.4, 0.6, 0.9],
}


def space(**options):
    made = FeatureSpace(
        {
            "age": "float_normalized",
            "city": FeatureSpace.string_categorical(num_oov_indices=1),
            "size": FeatureSpace.integer_hashed(num_bins=4),
            "width": FeatureSpace.float_discretized(num_bins=2),
        },
        crosses=[FeatureSpace.cross(("city", "size"), crossing_dim=6)],
        **options,
    )
    made.adapt(DATA)
    return made


def test_columns_stand_in_the_order_of_their_names_and_crosses_behind_them():
    y = np.asarray(space()(DATA))
    assert y.shape == (4, 1 + 4 + 4 + 2 + 6)
    age = np.array(DATA["age"])
    np.testing.assert_allclose(y[:, 0], (age - age.mean()) / age.std(), rtol=1e-5)
    assert (y[:, 1:5].argmax(1) == [1, 3, 1, 2]).all()  # Lima is the most frequent; then Rome before Oslo
    assert (y[:, 9:11].argmax(1) == [0, 1, 1, 1]).all()  # half of the data lie below 0.4
    for part in (y[:, 1:5], y[:, 5:9], y[:, 9:11], y[:, 11:]):
        assert (part.sum(1) == 1).all()


def test_single_values_give_a_vector_and_a_dict_gives_each_column():
    every = space(output_mode="dict")(DATA)
    assert list(every) == ["age", "city", "size", "width", "city_X_size"]
    one = space()({key: values[0] for key, values in DATA.items()})
    expected = np.concatenate([np.asarray(v)[0] for v in every.values()])
    np.testing.assert_allclose(one, expected, rtol=1e-6)


def test_batches_of_a_data_set_are_learned_from_as_the_whole():
    batches = [{key: np.array(values)[i : i + 2] for key, values in DATA.items()} for i in (0, 2)]
    again = FeatureSpace({"age": "float_normalized", "city": "string_categorical"})
    again.adapt(batches)
    whole = FeatureSpace({"age": "float_normalized", "city": "string_categorical"})
    whole.adapt(DATA)
    np.testing.assert_allclose(again(DATA), whole(DATA), rtol=1e-6)


def test_a_saved_space_encodes_as_before(tmp_path):
    first = space()
    first.save(tmp_path / "space.keras")
    second = keras.models.load_model(tmp_path / "space.keras")
    np.testing.assert_array_equal(second(DATA), first(DATA))
    second.save(tmp_path / "again.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "again.keras")(DATA), first(DATA))


def test_inputs_and_encoded_columns_make_a_model():
    made = FeatureSpace({"age": "float_normalized", "width": FeatureSpace.float_discretized(num_bins=2)})
    made.adapt(DATA)
    model = keras.Model(made.get_inputs(), made.get_encoded_features())
    columns = {key: np.array(DATA[key])[:, None] for key in ("age", "width")}
    np.testing.assert_allclose(model.predict(columns, verbose=0), made(DATA), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FeatureSpace({}), "cannot be None or empty"),
        (lambda: FeatureSpace({"a": "colour"}), "Invalid feature type: colour"),
        (lambda: FeatureSpace({"a": "float"}, crosses=[("a", "b")]), "should be present in the `features` dict"),
        (lambda: FeatureSpace({"a": "float"}, output_mode="sum"), "Invalid value for argument `output_mode`"),
        (lambda: FeatureSpace({"a": "integer_categorical"})({"a": [1]}), "You need to call `.adapt"),
        (lambda: FeatureSpace({"a": "float"})([1.0]), "can only be called with a dict"),
        (lambda: FeatureSpace({"a": "float"}).adapt([1.0]), "must yield dicts"),
        (
            lambda: FeatureSpace({"a": FeatureSpace.integer_hashed(3, output_mode="int")})({"a": [1]}),
            "has not been encoded",
        ),
    ],
)
def test_bad_arguments_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
