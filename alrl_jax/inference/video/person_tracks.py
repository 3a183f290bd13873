"""All faces of a video as tracks of persons: through losses, crossings and cuts.

Faces of neighbouring frames are joined to tracks by overlap and identity (the assignment of the
greatest sum; Kuhn 1955, by ``scipy.optimize.linear_sum_assignment``). A track ends where the video
cuts. Tracks of one identity that are never in one frame are one person.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from alrl_jax.inference.references import USUAL
from alrl_jax.inference.video.one_euro import OneEuro, OneEuroFilter
from alrl_jax.inference.video.tracking import CUT_DIFFERENCE, HELD, Thumbnail
from alrl_jax.photos.found_face import SAME_FACE, FoundFace, overlap

STRANGERS = 0.1
"""Cosine below which a face is another person's even where the followed one was."""
REACH = 1.5
"""Sides of its box by which a face may have moved where its identity alone tells it."""

Embedding = Float[np.ndarray, " e"]


@dataclasses.dataclass(frozen=True)
class Seen:
    """A face that was found in a frame.

    Attributes:
        frame: its position among the looked-at frames, from 0.
        face: where it is.
        embedding: unit vector of its identity.
    """

    frame: int
    face: FoundFace
    embedding: Embedding


@dataclasses.dataclass(frozen=True)
class Look:
    """A frame that was looked at.

    Attributes:
        seconds: when it is shown.
        cut: whether another shot begins with it.
        faces: that were found and can be placed.
    """

    seconds: float
    cut: bool
    faces: Sequence[Seen]


@dataclasses.dataclass
class Track:
    """One face through one shot.

    Attributes:
        shot: number of the shot.
        seen: where it was found, in the order of frames.
        person: whose face it is; numbered by first appearance.
    """

    shot: int
    seen: list[Seen]
    person: int = -1

    @property
    def embedding(self) -> Embedding:
        """Unit mean of the identities."""
        return _unit(_sum(self.seen))

    @property
    def recent(self) -> Embedding:
        """The same of the last faces."""
        return _unit(_sum(self.seen[-8:]))

    @property
    def frames(self) -> tuple[int, int]:
        """First and last frame."""
        return self.seen[0].frame, self.seen[-1].frame


@dataclasses.dataclass(frozen=True)
class Planned:
    """A face that is to be in a frame.

    Attributes:
        person: whose it is.
        face: its place, smoothed.
        kind: ``seen``, ``carried`` (found before and after), or ``margin``: perhaps there, as
            it was found a moment later or before.
    """

    person: int
    face: FoundFace
    kind: str


def is_cut(before: Thumbnail | None, after: Thumbnail) -> bool:
    """Whether two frames that follow each other are of two shots."""
    return before is not None and float(np.abs(before - after).mean()) > CUT_DIFFERENCE


def tracks_of(looks: Sequence[Look], least: float = USUAL) -> list[Track]:
    """The tracks of a video, their persons known.

    Args:
        looks: all frames, in order.
        least: cosine from which two faces are of one person; see ``references.usual_similarity``.
    """
    tracks: list[Track] = []
    active: list[Track] = []
    shot = 0
    for number, look in enumerate(looks):
        back = number > 0 and look.seconds <= looks[number - 1].seconds
        if look.cut or back:
            shot, active = shot + 1, []
        fresh = lambda t, now=look.seconds: now - looks[t.frames[1]].seconds <= HELD  # noqa: E731
        active = [track for track in active if fresh(track)]
        joined = _join(active, look.faces, least)
        for i, own in enumerate(look.faces):
            if i in joined:
                active[joined[i]].seen.append(own)
            else:
                tracks.append(Track(shot, [own]))
                active.append(tracks[-1])
    _name_people(tracks, least)
    return tracks


def _join(active: Sequence[Track], faces: Sequence[Seen], least: float) -> dict[int, int]:
    """The track of each face that goes on with one, by position."""
    if not active or not faces:
        return {}
    from scipy.optimize import linear_sum_assignment

    scores = np.array([[_score(track, own, least) for track in active] for own in faces])
    chosen = zip(*linear_sum_assignment(scores, maximize=True), strict=True)
    return {int(i): int(j) for i, j in chosen if scores[i, j] > 0}


def _score(track: Track, own: Seen, least: float) -> float:
    """How well a face goes on with a track; 0 where it cannot."""
    last = track.seen[-1].face
    place = _predicted(track, own.frame)
    share = max(overlap(place, own.face), overlap(last, own.face))
    cosine = float(track.recent @ own.embedding)
    near = _distance(place, own.face) <= REACH or _distance(last, own.face) <= REACH
    follows = share >= SAME_FACE and cosine >= STRANGERS
    return share + 1 + cosine if follows or (near and cosine >= least) else 0.0


def _predicted(track: Track, frame: int) -> FoundFace:
    """Where a face is that moves on as it moved between its last two sights."""
    last = track.seen[-1]
    if len(track.seen) < 2:
        return last.face
    before = track.seen[-2]
    steps = (frame - last.frame) / (last.frame - before.frame)
    return _between(before.face, last.face, 1 + steps)


def _distance(a: FoundFace, b: FoundFace) -> float:
    """Between the centres of two boxes, in sides of the larger."""
    one, other = np.array(a.box), np.array(b.box)
    centres = np.linalg.norm((one[:2] + one[2:] - other[:2] - other[2:]) / 2)
    return float(centres) / max(a.area, b.area, 1.0) ** 0.5


def _between(a: FoundFace, b: FoundFace, share: float) -> FoundFace:
    """A face on the straight way from one to another."""
    box = np.array(a.box) * (1 - share) + np.array(b.box) * share
    points = None
    if a.points is not None and b.points is not None and len(a.points) == len(b.points):
        points = a.points * (1 - share) + b.points * share
    left, top, right, bottom = (float(edge) for edge in box)
    return FoundFace((left, top, right, bottom), points)


def _name_people(tracks: Sequence[Track], least: float) -> None:
    """Gives every track its person: long tracks first, each to the nearest that it may be."""
    sums = np.zeros((0, 0), np.float32)
    units = sums
    of: list[list[Track]] = []
    for track in sorted(tracks, key=lambda t: -len(t.seen)):
        own, count = track.embedding, len(of)
        if count == len(sums):  # room for twice as many people
            room = np.zeros((max(16, count), len(own)), np.float32)
            sums = np.concatenate([sums, room]) if count else room
            units = np.concatenate([units, room]) if count else room.copy()
        cosines = units[:count] @ own
        near = np.flatnonzero(cosines >= least)
        candidates = near[np.argsort(-cosines[near])]
        free = (c for c in candidates if not any(_meet(track, other) for other in of[c]))
        person = int(next(free, count))
        if person == count:
            of.append([])
        sums[person] += own * len(track.seen)
        units[person] = _unit(sums[person])
        of[person].append(track)
        track.person = person
    order = {old: new for new, old in enumerate(dict.fromkeys(t.person for t in tracks))}
    for track in tracks:
        track.person = order[track.person]


def _meet(a: Track, b: Track) -> bool:
    """Whether two tracks are in a frame at once."""
    return a.frames[0] <= b.frames[1] and b.frames[0] <= a.frames[1]


def meeting(tracks: Sequence[Track]) -> Callable[[int, int], bool]:
    """Tells of two people whether they are in a frame at once."""
    of: dict[int, list[Track]] = {}
    for track in tracks:
        of.setdefault(track.person, []).append(track)
    return lambda a, b: any(_meet(one, other) for one in of[a] for other in of[b])


def people_of(tracks: Sequence[Track]) -> dict[int, Embedding]:
    """The identity of every person."""
    sums: dict[int, np.ndarray] = {}
    for track in tracks:
        total = _sum(track.seen)
        sums[track.person] = sums.get(track.person, np.zeros_like(total)) + total
    return {person: _unit(total) for person, total in sums.items()}


def plan(
    looks: Sequence[Look], tracks: Sequence[Track], smoothing: OneEuro | None, margins: bool
) -> dict[int, list[Planned]]:
    """The faces of every frame that has any.

    Args:
        looks: all frames, in order.
        tracks: their tracks.
        smoothing: of the places over time; None for none.
        margins: whether a track reaches ``HELD`` seconds beyond its ends, within its shot
            (shorter shots do not count).
    """
    planned: dict[int, list[Planned]] = {}
    for track in tracks:
        for frame, found in _carried(track, looks, smoothing):
            planned.setdefault(frame, []).append(found)
    if margins:
        walls = _walls(looks)
        for track in tracks:
            for frame, face in _margins(track, looks, walls):
                own = planned.setdefault(frame, [])
                there = (p.face for p in own if p.person == track.person)
                if not any(overlap(face, other) >= SAME_FACE for other in there):
                    own.append(Planned(track.person, face, "margin"))
    return planned


def _carried(
    track: Track, looks: Sequence[Look], smoothing: OneEuro | None
) -> Iterator[tuple[int, Planned]]:
    """Every frame from the first to the last of a track, with its face."""
    smooth = None if smoothing is None else OneEuroFilter(smoothing)
    size = max(1.0, track.seen[0].face.area ** 0.5)
    for before, own in zip([track.seen[0], *track.seen], track.seen, strict=False):
        for frame in range(before.frame + (before is not own), own.frame + 1):
            span = max(1, own.frame - before.frame)
            face = _between(before.face, own.face, (frame - before.frame) / span)
            face = own.face if frame == own.frame else face
            if smooth is not None and face.points is not None:
                points = smooth(face.points / size, looks[frame].seconds) * size
                face = dataclasses.replace(face, points=points)
            kind = "seen" if frame == own.frame else "carried"
            yield frame, Planned(track.person, face, kind)


def _walls(looks: Sequence[Look]) -> set[int]:
    """Frames that begin another shot, between two of at least ``HELD`` seconds.

    What looks like a shorter shot may be a flash, behind which the same face is lost.
    """
    cuts = [0, *(n for n, look in enumerate(looks) if look.cut and n), len(looks)]
    ends = [*(look.seconds for look in looks), looks[-1].seconds if looks else 0.0]
    lengths = [ends[b] - ends[a] for a, b in zip(cuts, cuts[1:], strict=False)]
    long = [length >= HELD for length in lengths]
    return {cut for cut, a, b in zip(cuts[1:-1], long, long[1:], strict=False) if a and b}


def _margins(
    track: Track, looks: Sequence[Look], walls: set[int]
) -> Iterator[tuple[int, FoundFace]]:
    """Frames just before and after a track, with the place of its nearest face."""
    first, last = track.frames
    ways = {-1: (first, track.seen[0].face), 1: (last, track.seen[-1].face)}
    for way, (end, face) in ways.items():
        frame = end
        while True:
            if frame in walls and way < 0:
                break
            frame += way
            if not 0 <= frame < len(looks) or (frame in walls and way > 0):
                break
            if abs(looks[frame].seconds - looks[end].seconds) > HELD:
                break
            yield frame, face


def summary(tracks: Sequence[Track]) -> Mapping[str, int]:
    """Numbers for the record of a video."""
    return {"tracks": len(tracks), "people": len({track.person for track in tracks})}


def _sum(seen: Sequence[Seen]) -> Embedding:
    return np.stack([own.embedding for own in seen]).astype(np.float32).sum(axis=0)


def _unit(vector: np.ndarray) -> Embedding:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)
