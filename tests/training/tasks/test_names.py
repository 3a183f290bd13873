"""Names in a config are checked against the tables that hold them, all in one error."""

import re

import pytest

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.models.swapper.selection import SELECTORS
from alrl_jax.models.swapper.transfers import TRANSFERS
from alrl_jax.training.tasks import TASKS, make_task
from alrl_jax.training.tasks.names import TABLES, check_names

WEIGHTS = (0.0, *[1.0] * 4, *[0.0] * 6)


def check(values: dict) -> None:
    check_names(Config.from_dict(values), TASKS)


def test_all_wrong_names_are_in_one_error() -> None:
    values = {
        "task": "swop",
        "remat": "all",
        "swap": {"selector": "luck", "pose_transfer": True},
        "encoder": {"backbone": "vgg"},
    }
    with pytest.raises(UserError) as error:
        make_task(Config.from_dict(values))
    text = str(error.value)
    start = "config: task is 'swop'; did you mean swap; expected one of ('generator', "
    assert text.startswith(start) and "\n" not in text
    choices = re.escape(str((*SELECTORS, *TRANSFERS, "best_fixed")))
    assert re.search(f"swap.selector is 'luck'; expected one of {choices}", text)
    assert "remat is 'all'; expected one of ('none', " in text
    assert "encoder.backbone is 'vgg'; expected one of ('residual', 'ir_se')" in text
    assert "pose_transfer" not in text  # what holds for an unknown selection is not known


@pytest.mark.parametrize("field", TABLES)
def test_every_table_is_looked_at(field: str) -> None:
    section, _, name = field.rpartition(".")
    values: dict = {section: {name: "nothing"}} if section else {name: "nothing"}
    if field == "discriminator.ada":
        values["losses"] = {"adversarial": 1.0}
    with pytest.raises(UserError, match=f"config: {field} is 'nothing'; expected one of"):
        check(values)


@pytest.mark.parametrize("task", TASKS)
def test_the_defaults_are_entries(task: str) -> None:
    check({"task": task})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"swap": {"selector": "ftm4", "gate_mode": "soft"}},
            "swap.gate_mode is 'soft' with swap.selector ftm4; expected 'hard'",
        ),
        (
            {"swap": {"selector": "mean", "pose_transfer": True}},
            "swap.pose_transfer is True with swap.selector mean; expected False",
        ),
        ({"swap": {"selector": "best_fixed"}}, "swap.source_weights has 0 numbers .*; expected 11"),
        (
            {"swap": {"selector": "best_fixed", "source_weights": WEIGHTS[:-1]}},
            "swap.source_weights has 10",
        ),
        (
            {"swap": {"source_weights": WEIGHTS}},
            "swap.source_weights has 11 numbers .* adaptive and swap.gate_mode hard; expected 0",
        ),
        ({"optimizer": {"gate_start": 9}}, "gate_start is 9 without optimizer.gate_learning_rate"),
        (
            {"num_steps": 9, "optimizer": {"gate_start": 9, "gate_learning_rate": 0.1}},
            "gate_start is 9 of 9 steps; expected fewer",
        ),
        ({"swap": {"gate_mode": "fixed"}}, "swap.source_weights has 0 numbers .*; expected 11"),
        (
            {"swap": {"selector": "mixer", "pose_transfer": True}},
            "swap.context is 0 with swap.pose_transfer of a transfer; expected 1 or more",
        ),
        ({"encoder": {"widths": (8, 8)}}, "expected 3 widths for encoder.backbone residual"),
        ({"encoder": {"backbone": "ir_se"}}, "expected 4 widths for encoder.backbone ir_se"),
        ({"fresh": ["encoder"]}, "fresh names 'encoder'; expected some of"),
        (
            {"pretrained": {"lpps": "a"}},
            "pretrained names 'lpps'; did you mean lpips; expected some of",
        ),
        ({"task": "identity", "pretrained": {"lpips": "a"}}, "pretrained names 'lpips'"),
    ],
)
def test_entries_have_rules_of_their_own(values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(values)


def test_what_belongs_together_is_taken() -> None:
    check({"swap": {"selector": "best_fixed", "source_weights": WEIGHTS}, "fresh": ["heads"]})
    check({"encoder": {"backbone": "ir_se", "widths": (8, 8, 8, 8)}, "pretrained": {"lpips": "a"}})


def test_an_unknown_loss_gets_a_suggestion() -> None:
    config = Config.from_dict({"task": "identity", "losses": {"arcfase": 1.0}})
    with pytest.raises(UserError, match="losses.arcfase is not a loss .*; did you mean arcface;"):
        make_task(config)
