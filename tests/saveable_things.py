"""Stand-ins for layers: what saving sees of an object, without the rest."""

import numpy as np


class Thing:
    """Holds arrays; attributes may hold more things."""

    def __init__(self, *arrays, name=None, **attributes):
        self.arrays = [np.asarray(a) for a in arrays]
        if name is not None:
            self.name = name
        for key, value in attributes.items():
            setattr(self, key, value)

    def save_own_variables(self, store):
        for i, a in enumerate(self.arrays):
            store[str(i)] = a

    def load_own_variables(self, store):
        if len(store) != len(self.arrays):
            raise ValueError(f"expected {len(self.arrays)} variables, got {len(store)}")
        self.arrays = [np.asarray(store[str(i)]) for i in range(len(store))]


class Dense(Thing):
    pass


class Model(Thing):
    built = True
