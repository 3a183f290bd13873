"""Names in a config, checked against the tables that they are entries of.

The config keeps no copies of these tables: who adds an entry to one has nothing to add here.
"""

import functools
from collections.abc import Collection, Iterator
from typing import Any

from alrl_jax.config import Config
from alrl_jax.errors import UserError, did_you_mean
from alrl_jax.models.build import COMPUTE_DTYPES
from alrl_jax.models.face_analyser import STAGES
from alrl_jax.models.remat import REMAT_POLICIES
from alrl_jax.models.stylegan2 import ada
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.models.swapper.backbones import BACKBONES
from alrl_jax.models.swapper.pose_space import POSE_SPACES
from alrl_jax.models.swapper.selection import BEST_FIXED, GATE_MODES, SELECTORS
from alrl_jax.models.swapper.swapper import MASKS
from alrl_jax.models.swapper.target_features import SPACE_GATES
from alrl_jax.models.swapper.transfers import TRANSFERS
from alrl_jax.training.optim import ALGORITHMS
from alrl_jax.training.tasks import face_networks, pretrained, warm_start

TABLES: dict[str, tuple[Collection[str], ...]] = {
    "compute_dtype": (COMPUTE_DTYPES,),
    "remat": (REMAT_POLICIES,),
    "discriminator.ada": (ada.MODES,),
    "encoder.backbone": (BACKBONES,),
    "encoder.pose_space": (POSE_SPACES,),
    "swap.selector": (SELECTORS, TRANSFERS, (BEST_FIXED,)),
    "swap.mask": (MASKS,),
    "swap.gate_mode": (GATE_MODES,),
    "swap.target_features": (SPACE_GATES,),
    "identity.kind": (face_networks.KINDS,),
    "identity.block": (STAGES,),
    "optimizer.algorithm": (ALGORITHMS,),
}
"""Where the values of a field come from."""

_ADAPTIVE_ALONE = {"gate_mode": "hard", "attribute_control": 0}
"""Fields of the selection ``adaptive``, and their values elsewhere."""

_LEARNED_ALONE = {"pose_transfer": False, "context": 0}
"""Fields of all selections that learn, and their values elsewhere."""


def check_names(config: Config, tasks: Collection[str]) -> None:
    """Checks every name in a config that is an entry of a table, and what such an entry asks for.

    Args:
        config: of a run; its values are right by themselves.
        tasks: names of what can be trained.

    Raises:
        UserError: naming every wrong name with the choices.
    """
    networks = [name for name, directory in config.pretrained.items() if directory]
    faults = [
        *_wrong("task", config.task, tasks),
        *(fault for name in TABLES for fault in _wrong(name, _value(config, name), _choices(name))),
        *_unknown("pretrained", networks, pretrained.NETWORKS.get(config.task, ())),
        *_unknown("fresh", config.fresh, warm_start.FRESH),
        *_backbone_faults(config),
        *_selection_faults(config),
        *_gate_faults(config),
    ]
    if faults:
        raise UserError(f"config: {'; '.join(faults)}")


def _choices(field: str) -> tuple[str, ...]:
    """The names of all tables of a field."""
    return tuple(name for table in TABLES[field] for name in table)


def _value(config: Config, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), config)


def _wrong(field: str, value: str, known: Collection[str]) -> Iterator[str]:
    if value not in known:
        yield f"{field} is {value!r}; {did_you_mean(value, known)}expected one of {tuple(known)}"


def _unknown(field: str, names: Collection[str], known: Collection[str]) -> Iterator[str]:
    """Names that are listed in a field without being known."""
    for name in sorted(set(names) - set(known)):
        yield f"{field} names {name!r}; {did_you_mean(name, known)}expected some of {tuple(known)}"


def _backbone_faults(config: Config) -> Iterator[str]:
    encoder, backbone = config.encoder, BACKBONES.get(config.encoder.backbone)
    if backbone is not None and len(encoder.widths) != backbone.stages:
        yield (
            f"encoder.widths is {encoder.widths}; expected {backbone.stages} widths for "
            f"encoder.backbone {encoder.backbone}"
        )


def _selection_faults(config: Config) -> Iterator[str]:
    swap = config.swap
    if swap.selector not in _choices("swap.selector"):
        return  # which rules hold for it is not known
    if swap.selector != "adaptive":
        learns = swap.selector in TRANSFERS
        for name, usual in (_ADAPTIVE_ALONE | ({} if learns else _LEARNED_ALONE)).items():
            value = getattr(swap, name)
            if value != usual:
                yield (
                    f"swap.{name} is {value!r} with swap.selector {swap.selector}; expected "
                    f"{usual!r}, as {'only adaptive has it' if learns else 'it learns nothing'}"
                )
    if swap.pose_transfer and swap.selector in TRANSFERS and not swap.context:
        yield "swap.context is 0 with swap.pose_transfer of a transfer; expected 1 or more"
    is_fixed = swap.selector == BEST_FIXED or swap.gate_mode == "fixed"
    wanted = num_latents(config.resolution) + 1 if is_fixed else 0
    if len(swap.source_weights) != wanted:
        yield (
            f"swap.source_weights has {len(swap.source_weights)} numbers with swap.selector "
            f"{swap.selector} and swap.gate_mode {swap.gate_mode}; expected {wanted}"
            + (": of the pose code and every layer" if wanted else "")
        )


def _gate_faults(config: Config) -> Iterator[str]:
    """Schedules of gates where nothing decides, or where they would never begin."""
    rates = config.optimizer
    if rates.gate_start and not rates.gate_learning_rate:
        yield (
            f"optimizer.gate_start is {rates.gate_start} without optimizer.gate_learning_rate; "
            "expected a rate above 0 with it"
        )
    if rates.gate_learning_rate and rates.gate_start >= config.num_steps:
        yield (
            f"optimizer.gate_start is {rates.gate_start} of {config.num_steps} steps; expected "
            "fewer, or gates never move"
        )
