"""What is drawn on a face: parsing classes, landmarks, and what a mirror does to them.

Left and right are the viewer's, as in CelebAMask-HQ: ``l_eye`` lies in the left half of the image
of a face that looks into the camera (it is the person's right eye).
"""

PARSING_LABELS = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)
"""Names of the CelebAMask-HQ classes; the class id is the place in the tuple. The world draws no
hats, ear rings (``ear_r``) or necklaces (``neck_l``), and glasses (``eye_g``) as covers alone;
``mouth`` is inside."""

LABEL = {name: number for number, name in enumerate(PARSING_LABELS)}
"""Class id of every class name."""

FACE_LABELS = tuple(
    LABEL[name]
    for name in (
        "skin",
        "nose",
        "eye_g",
        "l_eye",
        "r_eye",
        "l_brow",
        "r_brow",
        "mouth",
        "u_lip",
        "l_lip",
    )
)
"""Class ids of the region that a swap replaces."""

HEAD_LABELS = (
    *FACE_LABELS,
    *(LABEL[name] for name in ("l_ear", "r_ear", "ear_r", "hair", "hat", "neck")),
)
"""Class ids of what turns with a head: replaced where a swap takes the source's pose."""

LANDMARKS: tuple[str, ...] = (
    "l_eye_centre",
    "r_eye_centre",
    "l_eye_outer",
    "l_eye_inner",
    "r_eye_inner",
    "r_eye_outer",
    "l_brow_outer",
    "l_brow_inner",
    "r_brow_inner",
    "r_brow_outer",
    "nose_tip",
    "l_mouth_corner",
    "r_mouth_corner",
    "u_lip_top",
    "l_lip_bottom",
    "chin",
)
"""Names of the landmarks, in the order of ``Rendering.landmarks``."""

LEFT_RIGHT = {
    "parsing": tuple((LABEL[f"l_{part}"], LABEL[f"r_{part}"]) for part in ("eye", "brow", "ear")),
    "landmarks": tuple(
        (LANDMARKS.index(f"l_{part}"), LANDMARKS.index(f"r_{part}"))
        for part in (
            "eye_centre",
            "eye_outer",
            "eye_inner",
            "brow_outer",
            "brow_inner",
            "mouth_corner",
        )
    ),
}
"""Pairs of class ids and of landmark places that change places in a mirrored image."""
