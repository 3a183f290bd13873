"""Which flags of ``alrl evaluate`` go together."""

from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.evaluation.presets import ROLES, flag

PAIRS_ALONE = (
    "pairs",
    "data",
    "protocol",
    "fid_reference",
    "landmarks_from",
    "landmarks_path",
    *(flag(role).removeprefix("--") for role in ROLES if role != "identity"),
)
"""Flags of the benchmark pairs."""


def check_flags(values: Any) -> None:
    """UserError where flags do not belong to each other."""
    of_pairs = values.benchmark == "pairs"
    named = [f"--{name}" for name in PAIRS_ALONE if getattr(values, name) is not None]
    if named and not of_pairs:
        raise UserError(
            f"got {named[0]} with --benchmark={values.benchmark}; expected it with "
            "--benchmark=pairs alone; correct the flags"
        )
    if of_pairs and (values.pairs is None) == (values.data is None):
        raise UserError(
            f"got --benchmark=pairs with --pairs={values.pairs} and --data={values.data}; expected "
            "either a CSV file or a folder; name one"
        )
    if of_pairs and (values.distributed or values.coordinator_address):
        raise UserError(
            "got several processes with --benchmark=pairs; expected one, as FID and the gallery "
            "are of all pairs together; leave out --distributed and --coordinator_address"
        )
    if values.aligned and (values.landmarks_from or values.landmarks_path):
        raise UserError(
            "got --aligned with --landmarks_from or --landmarks_path; expected one of them, as "
            "no face is looked for in crops; drop the other"
        )
    for name in ("beside", "pair_set"):
        value = getattr(values, name)
        if of_pairs and value:
            text = value if isinstance(value, str) else ",".join(value)
            raise UserError(
                f"got --{name}={text} with --benchmark=pairs; expected it with "
                "--benchmark=counterfactual alone; drop it"
            )
    if values.pairs is not None and values.num_pairs is not None:
        raise UserError(
            f"got --num_pairs={values.num_pairs} with --pairs; expected all pairs of the list to "
            "be measured; shorten the list"
        )
