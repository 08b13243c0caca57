"""keras.utils.Config: values by name, as attributes and as items, which can be frozen."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from typing import Any


class Config(MutableMapping[str, Any]):
    """Values by name: `config.seed = 1` and `config["seed"] = 1` are the same.

    >>> config = Config(rate=0.1)
    >>> config.seed = 1
    >>> config.as_dict()
    {'rate': 0.1, 'seed': 1}
    """

    def __init__(self, **kwargs: Any) -> None:
        object.__setattr__(self, "_values", {})
        object.__setattr__(self, "_frozen", False)
        for name, value in kwargs.items():
            self[name] = value

    def freeze(self) -> None:
        """No changes from here on."""
        object.__setattr__(self, "_frozen", True)

    def unfreeze(self) -> None:
        """Changes again."""
        object.__setattr__(self, "_frozen", False)

    @property
    def frozen(self) -> bool:
        """Whether changes are refused."""
        return bool(self._frozen)

    def as_dict(self) -> dict[str, Any]:
        """A dict of the values."""
        return dict(self._values)

    def to_json(self) -> str:
        """The values as JSON. Raises TypeError for one that JSON cannot hold."""
        return json.dumps(self._values)

    def _change(self) -> dict[str, Any]:
        if self._frozen:
            raise ValueError("Cannot mutate attribute(s) because the config is frozen.")
        return self._values  # type: ignore[no-any-return]

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._change()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._change()[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"Unknown attribute: '{name}'. The config has {sorted(self._values)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Config {self._values}>"
