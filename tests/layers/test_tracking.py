"""Layers in containers of all kinds, in attributes of layers."""

import collections
import pickle

import pytest

from nacre import layers

Pair = collections.namedtuple("Pair", "a b")


class Holder(layers.Layer):
    def __init__(self, held):
        super().__init__()
        self.held = held


class Rows(list):
    """A list of the user's own kind."""


@pytest.mark.parametrize(
    "make",
    [
        lambda d: [d],
        lambda d: {"k": [d]},
        lambda d: {d},
        lambda d: Pair([d], 1),
        lambda d: Rows([d]),
        lambda d: collections.OrderedDict(k=d),
        lambda d: collections.defaultdict(list, k=[d]),
    ],
)
def test_layers_in_containers_of_any_kind_belong_to_the_layer_and_to_each_other_that_gets_the_container(make):
    dense = layers.Dense(2)
    dense.build((None, 3))
    first = Holder(make(dense))
    second = Holder(first.held)
    assert len(first.weights) == len(second.weights) == 2
    assert len(pickle.loads(pickle.dumps(second)).weights) == 2


def test_ordered_dicts_keep_their_kind_and_dicts_with_defaults_make_them():
    class Both(layers.Layer):
        def __init__(self):
            super().__init__()
            self.ordered = collections.OrderedDict(a=layers.Dense(2), b=layers.Dense(3))
            self.ordered.move_to_end("a")
            self.ordered["c"] = layers.Dense(4)
            self.lists = collections.defaultdict(list)
            self.lists["k"].append(layers.Dense(5))

    holder = Both()
    assert isinstance(holder.ordered, collections.OrderedDict) and list(holder.ordered) == ["b", "a", "c"]
    assert [layer.units for layer in holder._flatten_layers(include_self=False)] == [2, 3, 4, 5]
    assert holder.ordered.popitem(last=False)[0] == "b" and len(holder._flatten_layers(include_self=False)) == 3
    with pytest.raises(KeyError):
        Both().ordered["d"]
