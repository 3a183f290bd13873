"""Parts of a mutable configuration whose names are not the configuration's to know."""

from typing import Any, ClassVar

import ml_collections


class OpenDict(ml_collections.ConfigDict):
    """Values of one type, by names that only the task knows.

    A name that was never set reads as ``unset``, and no lock keeps new names out: so each can be
    set on the command line although no config file lists it. The task checks the names.
    """

    unset: ClassVar[Any] = None

    def __getitem__(self, key: str) -> Any:
        if key in self or key.startswith("_"):
            return super().__getitem__(key)
        return self.unset

    def get_type(self, key: str) -> type:
        """The type that a value of this name must have, set or not."""
        return type(self[key])

    def lock(self) -> "OpenDict":
        """Leaves it open."""
        return self


class Weights(OpenDict):
    """Weights of losses by name."""

    unset = 0.0


class Directories(OpenDict):
    """Directories of models by network."""

    unset = ""
