"""`keras.utils.legacy`: objects of libraries around Keras in their own, older form."""

import pytest

import nacre
from nacre.utils import legacy


class Range:
    def __init__(self, low, inner=None):
        self.low, self.inner = low, inner

    def get_config(self):
        return {"low": self.low, "inner": self.inner}

    @classmethod
    def from_config(cls, config):
        inner = legacy.deserialize_keras_object(config["inner"], {"Range": cls})
        return cls(config["low"], inner)


def doubled(x):
    return 2 * x


def test_objects_are_known_by_the_name_of_their_class():
    config = legacy.serialize_keras_object(Range(2, Range(3)))
    assert config == {"class_name": "Range", "config": {"low": 2, "inner": {"class_name": "Range", "config": {
        "low": 3, "inner": None}}}}  # fmt: skip
    assert legacy.deserialize_keras_object(config, module_objects={"Range": Range}).inner.low == 3
    assert legacy.deserialize_keras_object(config, None, {"Range": Range}).low == 2
    with nacre.utils.custom_object_scope({"Range": Range}):
        assert legacy.deserialize_keras_object(config).low == 2
    assert legacy.serialize_keras_object(None) is None and legacy.deserialize_keras_object(None) is None
    assert legacy.serialize_keras_object(doubled) == "doubled"
    assert legacy.deserialize_keras_object("doubled", {"doubled": doubled})(2) == 4
    assert isinstance(legacy.deserialize_keras_object("list", {"list": list}), list)


@pytest.mark.parametrize("identifier", [{"class_name": "Range"}, {"config": {}}, 3, {"class_name": 3, "config": {}}])
def test_what_is_no_configuration_is_refused(identifier):
    with pytest.raises(ValueError, match="Could not interpret serialized thing"):
        legacy.deserialize_keras_object(identifier, printable_module_name="thing")
    with pytest.raises(ValueError, match="Unknown thing: 'foo'"):
        legacy.deserialize_keras_object("foo", printable_module_name="thing")
    with pytest.raises(ValueError, match="doesn't implement"):
        legacy.serialize_keras_object(3)
