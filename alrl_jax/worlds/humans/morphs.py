"""Which morph targets of the mesh make which factor.

A factor of form is one number from -1 to 1 (or from 0 where a target has no opposite). It adds a
target of the mesh for its positive side and another for its negative one; what exists for the left
and for the right is moved alike, and a difference of both sides is a factor of its own.
"""

from typing import NamedTuple


class Morph(NamedTuple):
    """A factor of form.

    Attributes:
        less: targets that values below 0 add; none where the factor starts at 0.
        more: targets that values above 0 add.
        reach: weight of the targets where the factor is -1 or 1.
    """

    less: tuple[str, ...]
    more: tuple[str, ...]
    reach: float = 0.6


_OPPOSITES = {
    "decr": "incr",
    "down": "up",
    "in": "out",
    "backward": "forward",
    "concave": "convex",
    "compress": "uncompress",
}

_SIGNED = {
    "head": "angle:in back-scale-depth:decr fat:decr scale-depth:decr scale-horiz:decr "
    "scale-vert:decr",
    "nose": "base:down compression:compress curve:concave flaring:decr greek:decr hump:decr "
    "nostrils-angle:down nostrils-width:decr point:down point-width:decr scale-depth:decr "
    "scale-horiz:decr scale-vert:decr septumangle:decr trans:down volume:decr width1:decr "
    "width2:decr width3:decr",
    "eye": "bag:decr bag-height:decr bag:in corner1:down corner2:down epicanthus:in "
    "eyefold-angle:down eyefold:concave eyefold:down height1:decr height2:decr height3:decr "
    "push1:in push2:in scale:decr trans:down trans:in",
    "cheek": "bones:decr inner:decr trans:down volume:decr",
    "chin": "bones:decr cleft:decr height:decr jaw-drop:decr prognathism:decr prominent:decr "
    "width:decr",
    "mouth": "angles:down cupidsbow:decr cupidsbow-width:decr dimples:in laugh-lines:in "
    "lowerlip-ext:down lowerlip-height:decr lowerlip-middle:down lowerlip-volume:decr "
    "lowerlip-width:decr philtrum-volume:decr scale-depth:decr scale-horiz:decr scale-vert:decr "
    "trans:down upperlip-ext:down upperlip-height:decr upperlip-middle:down upperlip-volume:decr "
    "upperlip-width:decr",
    "forehead": "nubian:decr scale-vert:decr temple:decr trans:backward",
    "ear": "flap:decr lobe:decr rot:backward scale:decr scale-depth:decr scale-vert:decr "
    "trans:backward trans:down wing:decr",
    "eyebrows": "angle:down trans:backward trans:down",
    "neck": "back-scale-depth:decr double:decr scale-depth:decr scale-horiz:decr",
}
"""Parts of the mesh, and their targets by the end of the name of the negative side."""

_ONE_SIDED = {
    "head": "diamond invertedtriangular oval rectangular round square triangular",
    "chin": "triangle",
    "ear": "shape-pointed shape-round shape-square shape-triangle",
}
"""Targets without an opposite."""

_ASYMMETRIES = {
    "brown": 2,
    "cheek": 2,
    "ear": 4,
    "eye": 8,
    "jaw": 3,
    "mouth": 2,
    "nose": 4,
    "temple": 2,
    "top": 2,
}
"""How many ways of being lopsided the mesh has, by part (the mesh calls the brow ``brown``)."""

_SIDED = ("eye", "cheek", "ear")
_FOLDERS = {"eye": "eyes", "ear": "ears"}
_REACH = {"trans": 0.3, "eye": 0.5, "ear": 0.7, "neck": 0.35, "head": 0.3}


def _targets(part: str, name: str) -> tuple[str, ...]:
    """Paths of a target within the package, one a side."""
    folder = _FOLDERS.get(part, part)
    sides = ("l-", "r-") if part in _SIDED else ("",)
    return tuple(f"{folder}/{side}{part}-{name}" for side in sides)


def _signed() -> dict[str, Morph]:
    table = {}
    for part, names in _SIGNED.items():
        for entry in names.split():
            name, less = entry.split(":")
            reach = _REACH.get(name, _REACH.get(part, 0.6))
            ends = less if name in ("trans", "bag", "eyefold") else ""
            title = "_".join(x for x in (part, name, _OPPOSITES[less] if ends else "") if x)
            table[title.replace("-", "_")] = Morph(
                _targets(part, f"{name}-{less}"),
                _targets(part, f"{name}-{_OPPOSITES[less]}"),
                reach,
            )
    return table


def _one_sided() -> dict[str, Morph]:
    return {
        f"{part}_{name}".replace("-", "_"): Morph((), _targets(part, name), 0.4)
        for part, names in _ONE_SIDED.items()
        for name in names.split()
    }


FORMS: dict[str, Morph] = {**_signed(), **_one_sided()}
"""Factors of the form of head and face, by name; those whose ``less`` is empty start at 0."""

ASYMMETRIES: dict[str, Morph] = {
    f"asymmetry_{'brow' if part == 'brown' else part}_{number}": Morph(
        (f"asym/asym-{part}-{number}-l",), (f"asym/asym-{part}-{number}-r",), 0.5
    )
    for part, count in _ASYMMETRIES.items()
    for number in range(1, count + 1)
}
"""Differences of the two sides of a face; a mirror turns their sign."""

ANCESTRIES = ("african", "asian", "caucasian")
"""Families of the mesh's people at large, in the order of ``Identities.ancestry``."""

SEXES, AGES, WEIGHTS = (
    ("female", "male"),
    ("young", "old"),
    ("minweight", "averageweight", "maxweight"),
)

PEOPLE = tuple(f"{a}-{sex}-{age}" for a in ANCESTRIES for sex in SEXES for age in AGES)
BODIES = tuple(
    f"universal-{sex}-{age}-averagemuscle-{weight}"
    for sex in SEXES
    for age in AGES
    for weight in WEIGHTS
)
"""Targets of people at large; their weights add up to 1 in either family."""

PAIRED_ACTIONS = {
    "brow_down": "browDown",
    "brow_outer_up": "browOuterUp",
    "blink": "eyeBlink",
    "cheek_squint": "cheekSquint",
    "eye_squint": "eyeSquint",
    "eye_wide": "eyeWide",
    "mouth_dimple": "mouthDimple",
    "mouth_frown": "mouthFrown",
    "mouth_lower_down": "mouthLowerDown",
    "mouth_press": "mouthPress",
    "smile": "mouthSmile",
    "mouth_stretch": "mouthStretch",
    "mouth_upper_up": "mouthUpperUp",
    "nose_sneer": "noseSneer",
}
"""ARKit's facial actions that exist for the left and the right, by our name."""

SINGLE_ACTIONS = {
    "brow_inner_up": "browInnerUp",
    "cheek_puff": "cheekPuff",
    "jaw_forward": "jawForward",
    "jaw_open": "jawOpen",
    "mouth_funnel": "mouthFunnel",
    "mouth_pucker": "mouthPucker",
    "mouth_roll_lower": "mouthRollLower",
    "mouth_roll_upper": "mouthRollUpper",
    "mouth_shrug_lower": "mouthShrugLower",
    "mouth_shrug_upper": "mouthShrugUpper",
    "tongue_out": "tongueOut",
}
"""Those that are one for both sides; ``mouthClose`` is left out, as it only undoes ``jawOpen``."""

SIDE_ACTIONS = {"jaw_side": ("jawRight", "jawLeft"), "mouth_side": ("mouthRight", "mouthLeft")}
"""Those to a side: below 0 to the person's right, which is the viewer's left."""

LOOKS = ("In", "Out", "Up", "Down")
"""What lids do when an eye turns (``eyeLook*Left``, ``eyeLook*Right``)."""
