"""Who goes into the people of a video or an album: faces that a map names, and invented ones."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from alrl_jax.errors import UserError
from alrl_jax.inference.bounded_cache import BoundedCache
from alrl_jax.inference.job import PairFailed
from alrl_jax.inference.photo_reader import PhotoReader
from alrl_jax.inference.protocols import FaceSampler, Swapper, resolution_of
from alrl_jax.inference.pseudonyms import Pseudonyms
from alrl_jax.inference.references import Embeddings, mean_embedding, open_people
from alrl_jax.inference.samples import SAMPLE, read_seed
from alrl_jax.photos.alignment import centre_square
from alrl_jax.photos.face_photos import Face
from alrl_jax.photos.pair_list import list_files
from alrl_jax.utils.paths import local_path

REMEMBERED = 64
"""Invented faces that are kept."""

Embedding = Float[np.ndarray, " e"]
Meets = Callable[[int, int], bool]


@dataclasses.dataclass(frozen=True)
class MapEntry:
    """What ``--map=PERSON=SOURCE`` says.

    Attributes:
        text: as it was given.
        pictures: of the person.
        source: a photo; None where the source is invented.
        seed: of the invented source.
    """

    text: str
    pictures: tuple[Path, ...]
    source: Path | None = None
    seed: int | None = None


def read_map(texts: Sequence[str]) -> list[MapEntry]:
    """The entries of ``--map``.

    Args:
        texts: ``PERSON=SOURCE`` each: a photo, or a directory of photos, of a person in the video,
            and a photo or ``sample:SEED`` to put in.

    Raises:
        UserError: an entry of another form, no such file, or a seed that is none.
    """
    entries = []
    for text in texts:
        person, _, source = text.partition("=")
        if not person or not source:
            raise UserError(
                f"got --map={text}; expected PERSON=SOURCE, such as --map=anna.jpg=source.jpg; "
                "correct it"
            )
        pictures = tuple(list_files("map", local_path(person))[0])
        if source.startswith(SAMPLE):
            entries.append(MapEntry(text, pictures, seed=read_seed(source)))
            continue
        path = Path(local_path(source))
        if not path.is_file():
            raise UserError(f"got --map={text}; expected a photo after the =; check the path")
        entries.append(MapEntry(text, pictures, path))
    return entries


class PersonSources:
    """The source of every person.

    Args:
        model: a swapper that draws faces from seeds.
        least: cosine from which two faces are of one person; see ``references.usual_similarity``.
        pseudonyms: seeds of those whom the map does not name; None where they stay as they are.
        entries: the map.
        reader: of the map's photos.

    Raises:
        UserError: a photo of the map cannot be read, or has no face.
    """

    def __init__(
        self,
        model: Swapper,
        least: float,
        pseudonyms: Pseudonyms | None,
        entries: Sequence[MapEntry] = (),
        reader: PhotoReader | None = None,
    ) -> None:
        assert isinstance(model, FaceSampler) and (reader is not None or not entries)
        self._sampler, self._least, self._pseudonyms = model, least, pseudonyms
        self._entries, self._resolution = list(entries), resolution_of(model)
        self._people: Embeddings | None = None
        self._files: dict[str, Face] = {}
        self._names: list[str] = []
        if reader is not None and entries:
            people = open_people(reader, [entry.pictures for entry in entries], "map")
            self._people = np.stack([mean_embedding(model, photos) for photos in people])
            self._names = [self._opened(entry, reader) for entry in entries]
        self._invented: BoundedCache[Face] = BoundedCache(REMEMBERED)
        self._seeds, self._mapped = dict[int, int](), dict[int, int]()

    @property
    def sha256(self) -> str:
        """Names these sources, and tells nothing of a key or a seed."""
        own = "" if self._pseudonyms is None else self._pseudonyms.sha256
        if self._people is None:
            return own
        rounded = np.round(self._people, 3).tobytes().hex()
        return hashlib.sha256(f"{own}:{self._names}:{rounded}".encode()).hexdigest()

    @property
    def mapped(self) -> dict[str, list[int]]:
        """The numbers of the people whom each entry of the map names."""
        found: dict[str, list[int]] = {entry.text: [] for entry in self._entries}
        for person, number in self._mapped.items():
            found[self._entries[number].text].append(person)
        return found

    def decide(self, people: Mapping[int, Embedding], meets: Meets) -> None:
        """Gives every person a source.

        Args:
            people: unit embedding of each, by number.
            meets: whether two of them are in one picture.

        Raises:
            UserError: an entry of the map is nobody here, or the pseudonyms cannot be written.
        """
        self._mapped = {}
        if self._people is not None:
            self._mapped = assigned(people, self._people, self._least, meets)
            self._check_met(people)
        others = {p: own for p, own in people.items() if p not in self._mapped}
        self._seeds = {} if self._pseudonyms is None else self._pseudonyms.seeds(others)

    def key(self, person: int) -> str | int | None:
        """What names the source of a person; None where the person stays as he is."""
        if person in self._mapped:
            return self._names[self._mapped[person]]
        return self._seeds.get(person)

    def face(self, person: int) -> Face:
        """The face that goes into a person who has a source."""
        if person in self._mapped:
            entry = self._entries[self._mapped[person]]
            if entry.seed is None:
                return self._files[entry.text]
            seed = entry.seed
        else:
            seed = self._seeds[person]
        return self._invented.get(seed, lambda: self._draw(seed))

    def _draw(self, seed: int) -> Face:
        return self._whole(np.clip(np.asarray(self._sampler.sample_face(seed), np.float32), -1, 1))

    def _whole(self, crop: Float[np.ndarray, "r r 3"]) -> Face:
        """A crop as a picture of its own, wherever it was cut out."""
        square = centre_square(np.zeros((*crop.shape[:2], 3), np.uint8), self._resolution)
        return Face(square, crop)

    def _opened(self, entry: MapEntry, reader: PhotoReader) -> str:
        """Reads the photo of an entry; gives what names its content."""
        if entry.source is None:
            return f"{SAMPLE}{entry.seed}"
        try:
            sha256 = reader.sha256("source", entry.source)
            face = reader.source(entry.source, sha256).faces[0]
            self._files[entry.text] = self._whole(face.crop)
        except PairFailed as error:
            raise UserError(
                f"got --map={entry.text} ({error}); expected a photo with a face; take another"
            ) from error
        return sha256

    def _check_met(self, people: Mapping[int, Embedding]) -> None:
        """UserError for an entry that is nobody here."""
        assert self._people is not None
        for number, entry in enumerate(self._entries):
            if number in self._mapped.values():
                continue
            cosines = [float(own @ self._people[number]) for own in people.values()]
            found = "no face was found"
            if cosines:
                found = f"the nearest of {len(cosines)} people has a cosine of {max(cosines):.2f}"
            raise UserError(
                f"got --map={entry.text}, whose person is not here: {found}; expected a cosine of "
                f"at least {self._least:g}; give a better picture, or leave it out"
            )


def assigned(
    people: Mapping[int, Embedding], entries: Embeddings, least: float, meets: Meets
) -> dict[int, int]:
    """The entry of a map that each person is; the most alike come first.

    Two who are in one picture are not both the same entry, however alike they are.

    Args:
        people: unit embedding of each, by number.
        entries: of the map's people.
        least: cosine from which two faces are of one person.
        meets: whether two people are in one picture.
    """
    cosines = {(p, n): float(own @ e) for p, own in people.items() for n, e in enumerate(entries)}
    found: dict[int, int] = {}
    for (person, number), cosine in sorted(cosines.items(), key=lambda item: -item[1]):
        if cosine < least:
            break
        taken = (other for other, own in found.items() if own == number)
        if person not in found and not any(meets(person, other) for other in taken):
            found[person] = number
    return found
