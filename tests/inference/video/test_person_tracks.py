"""Tracks of persons against the truth: crossings, losses, cuts, and places that are hidden."""

from pathlib import Path

import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.inference.pseudonyms import Pseudonyms
from alrl_jax.inference.video.person_tracks import (
    HELD,
    Look,
    Planned,
    Seen,
    people_of,
    plan,
    tracks_of,
)
from alrl_jax.photos.found_face import FoundFace, of_points
from alrl_jax.photos.hiding import CELLS, hide, hide_all
from tests.inference.video.test_smoothing import FACE

RATE = 25
_PEOPLE = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 4)))[0].T
"""Identities that have nothing in common."""


def face_at(x: float, y: float = 0.0) -> FoundFace:
    return of_points(FACE + np.array([x, y]))


def looks_of(
    frames: list[dict[int, float]], cuts: tuple[int, ...] = (), noise: float = 0.5
) -> list[Look]:
    """Frames of persons (number and place), whose embeddings are noisy."""
    rng = np.random.default_rng(1)
    looks = []
    for number, frame in enumerate(frames):
        faces = []
        for person, x in frame.items():
            vector = _PEOPLE[person] + rng.normal(size=64) * noise / 8
            embedding = (vector / np.linalg.norm(vector)).astype(np.float16)
            faces.append(Seen(number, face_at(x), embedding))
        rng.shuffle(faces)  # type: ignore[arg-type]
        looks.append(Look(number / RATE, number in cuts, faces))
    return looks


def true_person(own: Seen) -> int:
    return int(np.argmax(_PEOPLE @ own.embedding))


def crossing(frames: int = 60) -> list[dict[int, float]]:
    """Two who pass each other, the one behind unseen for a while, and change sides at a cut."""
    film = [{0: 3.0 * n, 1: 180 - 3.0 * n} for n in range(frames)]
    for hidden in range(26, 36):
        del film[hidden][1]
    return film + [{1: 5.0, 0: 150.0, 2: 300.0} for _ in range(20)]


def test_people_stay_who_they_are_through_crossings_and_cuts() -> None:
    looks = looks_of(crossing(), cuts=(60,))
    tracks = tracks_of(looks)
    assert len(tracks) == 5, "two before the cut, three after it"
    for track in tracks:
        assert {true_person(own) for own in track.seen} == {true_person(track.seen[0])}
    named = {true_person(track.seen[0]): track.person for track in tracks}
    assert sorted(named.values()) == [0, 1, 2]
    assert all(named[true_person(track.seen[0])] == track.person for track in tracks)
    people = people_of(tracks)
    assert all(np.isclose(np.linalg.norm(own), 1, atol=1e-3) for own in people.values())


def test_a_lost_face_is_carried_on_and_its_ends_are_kept_in_mind() -> None:
    film = [{0: 2.0 * n} for n in range(80)]
    for lost in (*range(0, 5), *range(20, 30), *range(60, 80)):
        film[lost] = {}
    lead = 30
    looks = looks_of([{}] * lead + film, cuts=(lead + 3,))
    tracks = tracks_of(looks)
    planned = plan(looks, tracks, None, margins=False)
    assert sorted(planned) == list(range(lead + 5, lead + 60))
    planned = {n - lead: own for n, own in planned.items()}
    assert [planned[n][0].kind for n in (19, 20, 29, 30)] == ["seen", "carried", "carried", "seen"]
    for number in range(20, 30):
        np.testing.assert_allclose(planned[number][0].face.box, face_at(2.0 * number).box)
    hidden = plan(looks, tracks, None, margins=True)
    kinds = {n - lead: [p.kind for p in own] for n, own in hidden.items()}
    assert [n for n, own in kinds.items() if "margin" in own] == [4, 3, *range(60, 80)]
    assert 2 not in kinds, "another shot"
    flash = looks_of([{}] * lead + film, cuts=(lead + 20, lead + 22))
    ends = plan(flash, tracks_of(flash), None, margins=True)
    assert all(n + lead in ends for n in range(80)), "a flash hides nobody's loss"
    assert all(len(own) == 1 for own in kinds.values())
    late = looks_of(film[:20] + [{}] * (int(HELD * RATE) + 1) + film[30:40])
    assert len(tracks_of(late)) == 2 and len(people_of(tracks_of(late))) == 1


def test_two_at_once_are_two_people() -> None:
    """Twins: nothing but that both are there tells them apart."""
    looks = looks_of([{0: 0.0, 1: 200.0} for _ in range(5)])
    twin = [
        Look(
            look.seconds,
            False,
            [Seen(s.frame, s.face, _PEOPLE[0]) for s in look.faces],
        )
        for look in looks
    ]
    tracks = tracks_of(twin)
    assert [track.person for track in tracks] == [0, 1]
    planned: list[Planned] = plan(twin, tracks, None, margins=True)[3]
    assert {p.person for p in planned} == {0, 1}
    assert tracks_of([]) == [] and plan([], [], None, margins=True) == {}


def test_what_is_hidden_is_a_few_means() -> None:
    rng = np.random.default_rng(0)
    for kind in (np.uint8, np.uint16):
        pixels = rng.integers(0, np.iinfo(kind).max, (60, 80, 3), dtype=kind)
        hidden = hide(pixels, [(30.0, 20.0, 50.0, 40.0)])
        assert hidden.dtype == kind and hidden.shape == pixels.shape
        assert len(np.unique(hidden[14:46, 24:56].reshape(-1, 3), axis=0)) <= CELLS**2
        outside = np.ones((60, 80), bool)
        outside[14:46, 24:56] = False
        np.testing.assert_array_equal(hidden[outside], pixels[outside])
        assert len(np.unique(hide_all(pixels).reshape(-1, 3), axis=0)) <= CELLS**2
        gone = hide(pixels, [(float("nan"), 0.0, 1.0, 1.0)])
        assert len(np.unique(gone.reshape(-1, 3), axis=0)) <= CELLS**2
        corner = hide(pixels, [(-500.0, -500.0, -400.0, -400.0), (78.0, 58.0, 81.0, 61.0)])
        np.testing.assert_array_equal(corner[:50, :70], pixels[:50, :70])
        assert hide(pixels[:1, :1], [(0.0, 0.0, 1.0, 1.0)]).shape == (1, 1, 3)


def test_pseudonyms_last_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    people = {0: _PEOPLE[0].astype(np.float32), 1: _PEOPLE[1].astype(np.float32)}
    first = Pseudonyms(7, "m", path).seeds(people)
    assert len(set(first.values())) == 2 and path.stat().st_mode & 0o777 == 0o600
    turned = {0: people[1], 1: _PEOPLE[2].astype(np.float32), 2: people[0]}
    again = Pseudonyms(7, "m", path).seeds(turned)
    assert again[0] == first[1] and again[2] == first[0] and again[1] not in first.values()
    assert "Secret" in path.read_text()
    plain = Pseudonyms(7, "m").seeds(people)
    assert plain != first and plain == Pseudonyms(7, "m").seeds(people)
    for other in (Pseudonyms(8, "m"), Pseudonyms(7, "n", tmp_path / "new.json")):
        assert other.seeds(people) != first
    for seed, model in ((8, "m"), (7, "n")):
        with pytest.raises(UserError, match="another model or seed"):
            Pseudonyms(seed, model, path)
    path.write_text("{}")
    with pytest.raises(UserError, match="no whole pseudonym file"):
        Pseudonyms(7, "m", path)
