"""Which invented person stands for whom: seeds of faces, the same for the same identity.

Without a file a seed follows from the run's seed and the order in which people appear. A file keeps
a random key and the identities that were met, so that later runs invent the same people for them.
Whoever has the file can find out who somebody was: identities in it compare with those of photos.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.inference.references import USUAL, Embeddings
from alrl_jax.utils.files import json_text, temporary_name
from alrl_jax.utils.opening import read_json

NOTE = (
    "Secret: identities of real people, and the key that names their pseudonyms. Whoever has this "
    "file can tell who an invented face stands for. Keep it apart from the results, or delete it."
)


class Pseudonyms:
    """Seeds of invented people.

    Args:
        seed: of the run.
        model_sha256: of the model whose identity net compares people.
        path: of the file, made where it is missing; None for none.
        least: cosine from which two faces are of one person; see ``references.usual_similarity``.

    Raises:
        UserError: the file is of another model or seed, or is none.
    """

    def __init__(
        self, seed: int, model_sha256: str, path: Path | None = None, least: float = USUAL
    ) -> None:
        self._seed, self._model, self._path = seed, model_sha256, path
        self._least = least
        self._key, self._known = b"", np.zeros((0, 0), np.float32)
        if path is None:
            return
        self._key = secrets.token_bytes(32)
        if path.exists():
            self._key, self._known = self._read(path)

    @property
    def sha256(self) -> str:
        """Names these pseudonyms, and tells nothing of key or seed."""
        return hashlib.sha256(self._digest("name")).hexdigest()

    def seeds(self, people: Mapping[int, np.ndarray]) -> dict[int, int]:
        """The seed of every person; the file remembers those who are new.

        Args:
            people: unit embedding of each, by number.

        Raises:
            UserError: the file cannot be written.
        """
        for embedding in people.values():
            if len(self._known) and self._known.shape[1:] != embedding.shape:
                raise UserError(
                    f"got --pseudonyms={self._path} with identities of {self._known.shape[1]} "
                    f"numbers; expected {len(embedding)}, as this model has; take another file"
                )
        known, found = [*self._known], {}
        taken: set[int] = set()
        for person, embedding in people.items():
            cosines = {
                n: float(other @ embedding) for n, other in enumerate(self._known) if n not in taken
            }
            number = max(cosines, key=lambda n: cosines[n], default=-1)
            if number < 0 or cosines[number] < self._least:
                number = len(known)
                known.append(np.asarray(embedding, np.float32))
            taken.add(number)
            found[person] = int.from_bytes(self._digest(f"person {number}")[:4], "big")
        if self._path is not None and len(known) > len(self._known):
            self._known = np.stack(known)
            self._write(self._path)
        return found

    def _digest(self, text: str) -> bytes:
        return hmac.new(self._key, f"{self._seed}:{text}".encode(), "sha256").digest()

    def _read(self, path: Path) -> tuple[bytes, Embeddings]:
        try:
            content: Any = read_json(path)
            key = bytes.fromhex(content["key"])
            known = np.array(content["people"], np.float32)
            owner = content["model_sha256"], content["seed"]
            if known.ndim != 2 or not np.isfinite(known).all() or len(key) != 32:
                raise ValueError
        # An ArithmeticError is that of a whole number of hundreds of digits.
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
            raise UserError(
                f"got --pseudonyms={path}, which is no whole pseudonym file; expected one that "
                "this command wrote, or a new name; correct it"
            ) from error
        if owner != (self._model, self._seed):
            raise UserError(
                f"got --pseudonyms={path}, made with another model or seed; expected the file of "
                "this --model and --source=sample:SEED; take that one, or a new name"
            )
        return key, known

    def _write(self, path: Path) -> None:
        """Writes the file, for its owner's eyes."""
        content = {
            "note": NOTE,
            "key": self._key.hex(),
            "model_sha256": self._model,
            "seed": self._seed,
            "people": [[round(float(x), 5) for x in own] for own in self._known],
        }
        temporary = temporary_name(path)
        try:
            temporary.touch(mode=0o600)
            temporary.write_text(json_text(content), encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise UserError(
                f"got --pseudonyms={path} ({error.strerror}); expected a file that can be "
                "written; choose another"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
