"""The configuration: every fault is named at once, with value and expectation."""

import pytest

from alrl_jax.config import Config, default_config
from alrl_jax.errors import UserError


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
