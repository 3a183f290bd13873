"""``--deidentify``: what it sets, and what it does not go with."""

import dataclasses
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.inference.samples import SAMPLE
from alrl_jax.inference.settings import Settings


def deidentifying(values: Any, settings: Settings) -> Settings:
    """The settings of a run in which no original face may be seen: every face, no fine detail.

    Args:
        values: the flags.
        settings: what else they ask for.

    Raises:
        UserError: a flag would leave something of the original face, or name a source.
    """
    faults = {
        f"--source={values.source}": not (values.source or "").startswith(SAMPLE),
        "--identity_from=target": settings.identity_from == "target",
        "--aligned": settings.aligned,
        "--selector": settings.selector is not None,
        f"--face={settings.face}": settings.face not in ("largest", "all"),
        f"--detail={settings.paste.detail:g}": settings.paste.detail > 0,
        "--groups=identity=target": settings.groups.get("identity") == "target",
        "--masks": bool(values.masks),
    }
    wrong = [flag for flag, bad in faults.items() if bad]
    if wrong:
        raise UserError(
            f"got --deidentify with {', '.join(wrong)}; expected an invented source "
            "(--source=sample:SEED) and nothing that keeps the original face; correct it"
        )
    return dataclasses.replace(settings, face="all")
