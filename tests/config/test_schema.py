"""The configuration: every fault is named at once, with value and expectation."""

import pytest

from alrl_jax.config.schema import SELECTORS, Config, default_config
from alrl_jax.errors import UserError
from alrl_jax.models.swapper import selection as models
from alrl_jax.models.swapper.transfers import TRANSFERS


def test_defaults_survive_the_round_trip() -> None:
    values = default_config("swap", {"identity": 1.0}).to_dict()
    config = Config.from_dict(values)
    assert config.to_dict() == {**values, "losses": {"identity": 1.0}}


def test_all_faults_are_told_at_once() -> None:
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
        ({"swap": {"channel_groups": 7}}, "divisor of generator.w_dim"),
        ({"losses": {"identity": -1.0}}, "weights of 0 or more"),
        ({"discriminator": {"ada": "on"}}, "discriminator.ada is 'on'; expected one of"),
        ({"discriminator": {"ada_p": 1.5}}, "discriminator.ada_p is 1.5; expected a share"),
        ({"discriminator": {"ada": "fixed"}, "losses": {"r1": 1.0}}, "there is no discriminator"),
    ],
)
def test_faults_name_value_and_expectation(values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace("*", r"\*")):
        Config.from_dict(values)


SHARES = (0.0, *[1.0] * 4, *[0.0] * 6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"swap": {"selector": "luck"}}, "swap.selector is 'luck'; expected one of"),
        ({"swap": {"mask": "square"}}, "swap.mask is 'square'; expected one of"),
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
            {"swap": {"selector": "best_fixed", "source_weights": SHARES[:-1]}},
            "swap.source_weights has 10",
        ),
        (
            {"swap": {"selector": "best_fixed", "source_weights": (*SHARES[1:], 2.0)}},
            "shares from 0 to 1",
        ),
        (
            {"swap": {"selector": "best_fixed", "source_weights": ("a",) * 11}},
            "swap.source_weights is 'a'",
        ),
        (
            {"swap": {"source_weights": SHARES}},
            "swap.source_weights has 11 numbers .* adaptive; expected 0",
        ),
        ({"fresh": ["encoder"]}, "fresh is .*; expected some of"),
        (
            {"data": {"true_swaps": True, "source": "prepared"}, "losses": {"supervised": 1.0}},
            "data.true_swaps is True with data.source prepared; expected synthetic",
        ),
        (
            {"data": {"true_swaps": True}, "losses": {"identity": 1.0}},
            "data.true_swaps is True with losses.supervised 0.0",
        ),
        ({"losses": {"supervised": 1.0}}, "data.true_swaps is False with losses.supervised 1.0"),
    ],
)
def test_selections_and_true_swaps_have_their_own_rules(values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Config.from_dict(values)


def test_selections_that_belong_together_are_taken() -> None:
    swap = Config.from_dict(
        {"swap": {"selector": "best_fixed", "source_weights": [0, *SHARES[1:]]}}
    ).swap
    assert swap.source_weights == SHARES and all(
        isinstance(share, float) for share in swap.source_weights
    )
    Config.from_dict({"data": {"true_swaps": True}, "losses": {"supervised": 1.0}})
    Config.from_dict({"data": {"true_swaps": True}, "losses": {}})  # a run that is over


def test_every_selection_can_be_named() -> None:
    bounds = {"all_target", "all_source"}
    assert set(SELECTORS) == {*models.SELECTORS, *TRANSFERS, "best_fixed"} - bounds
