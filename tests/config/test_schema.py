"""The configuration: every fault is named at once, with value and expectation."""

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from absl import flags
from ml_collections import config_flags

from alrl_jax.config import Config, default_config, sections
from alrl_jax.config.rules import Rule
from alrl_jax.errors import UserError

ROOT = Path(__file__).parents[2]


def test_defaults_survive_the_round_trip() -> None:
    values = default_config("swap", {"identity": 1.0}).to_dict()
    config = Config.from_dict(values)
    assert config.to_dict() == {**values, "losses": {"identity": 1.0}}


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(UserError) as error:
        Config.from_dict({"num_steps": 0, "resolution": 7, "data": {"same_identity_share": 2.0}})
    for part in ("num_steps is 0", "resolution is 7", "data.same_identity_share is 2.0"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeed": 1}, "seeed is not a field; did you mean seed"),
        ({"batch_size": "many"}, "batch_size is 'many'; expected int"),
        ({"batch_size": True}, "batch_size is True; expected int"),
        ({"data": {"path": 3}}, "data.path is 3; expected str"),
        ({"task": "swap", "resolution": 16}, "resolution is 16; expected 32 or more"),
        ({"batch_size": 6, "discriminator": {"mbstd_blocks": 4}}, "multiple of"),
        ({"discriminator": {"freeze_blocks": 1}}, "without pretrained.discriminator or pretrained"),
        ({"discriminator": {"freeze_blocks": 9}}, "expected at most the 4 blocks of resolution 64"),
        ({"discriminator": {"mbstd_blocks": 0}}, "mbstd_blocks is 0; expected a number above 0"),
        ({"swap": {"channel_groups": 7}}, "divisor of generator.w_dim"),
        ({"swap": {"context": -1}}, "swap.context is -1; expected 0 (each layer alone) or more"),
        ({"swap": {"feather": -1}}, "swap.feather is -1; expected 0 (hard edge) or more pixels"),
        ({"losses": {"identity": -1.0}}, "weights of 0 or more"),
        (
            {"loss_resolution": 32, "perceptual_resolution": 64},
            "perceptual_resolution is 64; expected 0 or a divisor of 32",
        ),
        ({"losses": {"identity": "much"}}, "losses.identity is 'much'; expected float"),
        ({"discriminator": {"ada_p": 1.5}}, "discriminator.ada_p is 1.5; expected a share"),
        ({"discriminator": {"ada": "fixed"}, "losses": {"r1": 1.0}}, "there is no discriminator"),
        ({"swap": {"source_weights": (0.0, 2.0)}}, "shares from 0 to 1"),
        ({"swap": {"source_weights": ("a",) * 11}}, "swap.source_weights is 'a'"),
        (
            {"data": {"true_swaps": True}, "losses": {"identity": 1.0}},
            "data.true_swaps is True with losses.supervised 0.0",
        ),
        (
            {"data": {"true_swaps": True, "on_device": True}, "losses": {"supervised": 1.0}},
            "data.on_device is True with data.true_swaps True; expected False",
        ),
        ({"max_minutes": -1.0}, "max_minutes is -1.0; expected 0 (no limit) or more"),
        ({"losses": {"supervised": 1.0}}, "data.true_swaps is False with losses.supervised 1.0"),
    ],
)
def test_faults_name_value_and_expectation(values: dict, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Config.from_dict(values)


@pytest.mark.parametrize(("batch", "steps", "warmup"), [(16, 3125, 63), (256, 196, 4)])
def test_lengths_in_images_hold_for_every_batch(batch: int, steps: int, warmup: int) -> None:
    """The last batch is a whole one."""
    values = {"num_images": 50_000, "optimizer": {"warmup_images": 1000, "warmup_steps": 7}}
    config = Config.from_dict({**values, "batch_size": batch, "num_steps": 9})
    assert (config.num_steps, config.optimizer.warmup_steps) == (steps, warmup)
    assert Config.from_dict(config.to_dict()) == config
    plain = Config.from_dict({"num_steps": 9, "optimizer": {"warmup_steps": 7}})
    assert (plain.num_steps, plain.optimizer.warmup_steps) == (9, 7)


def test_what_belongs_together_is_taken() -> None:
    swap = Config.from_dict({"swap": {"selector": "best_fixed", "source_weights": [0, 1.0]}}).swap
    assert swap.source_weights == (0.0, 1.0) and isinstance(swap.source_weights[0], float)
    Config.from_dict({"data": {"true_swaps": True}, "losses": {"supervised": 1.0}})
    Config.from_dict({"data": {"true_swaps": True}, "losses": {}})  # a run that is over


def test_every_number_has_a_rule() -> None:
    """A field of numbers that takes any value has to be listed here."""
    free = {"seed", "loss_resolution", "perceptual_resolution", "encoder.resolution"}
    found = set()
    for cls, prefix in ((Config, ""), *((f.type, f"{f.name}.") for f in _nested())):
        for field in dataclasses.fields(cls):
            numeric = str(field.type).replace("<class '", "").startswith(("int", "float", "tuple["))
            ruled = isinstance(field.metadata.get("rule"), Rule)
            if numeric and not ruled and "str" not in str(field.type):
                found.add(f"{prefix}{field.name}")
    assert found == free


def _nested() -> list[Any]:
    return [f for f in dataclasses.fields(Config) if dataclasses.is_dataclass(f.type)]


def test_every_section_is_part_of_a_config() -> None:
    defined = {x for x in vars(sections).values() if isinstance(x, type)}
    classes = {x for x in defined if dataclasses.is_dataclass(x)} - {Rule}
    assert classes == {field.type for field in _nested()}


CONFIG = """
from alrl_jax.config import default_config
def get_config():
    config = default_config("swap", {"parsing": 0.1})
    config.losses.region = 0.5
    return config
"""


def parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> dict[str, Any]:
    """The values of a config file with overrides on the command line."""
    (tmp_path / "some.py").write_text(CONFIG)
    arguments = ["train", f"--config={tmp_path / 'some.py'}", *overrides]
    monkeypatch.setattr(sys, "argv", arguments)
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values)
    values(arguments)
    return values.config.to_dict()


def test_any_loss_and_network_can_be_set_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although neither the file nor the config knows their names."""
    overrides = ("--config.losses.identity=1", "--config.pretrained.lpips=a/b")
    values = parsed(tmp_path, monkeypatch, *overrides, "--config.losses.region=0.25")
    config = Config.from_dict(values)
    assert config.losses == {"identity": 1.0, "parsing": 0.1, "region": 0.25}
    assert config.pretrained == {"lpips": "a/b"}


@pytest.mark.parametrize("override", ["--config.losses.identity=much", "--config.seeed=1"])
def test_other_overrides_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str
) -> None:
    with pytest.raises((flags.Error, AttributeError)):
        parsed(tmp_path, monkeypatch, override)


def test_weights_are_0_unless_set() -> None:
    config: Any = default_config("swap")
    assert config.losses.identity == 0.0 and config.losses["parsing"] == 0.0
    assert config.to_dict()["losses"] == {} and config.pretrained.generator == ""
    config.lock()
    config.update_from_flattened_dict({"losses.identity": 2.0})
    assert config.copy_and_resolve_references().to_dict()["losses"] == {"identity": 2.0}
