"""What is read from a compiled program, and which machines it can be compiled for."""

import json
import re

import jax
import jax.numpy as jnp
import pytest

from alrl_jax.errors import UserError
from alrl_jax.profiling import compiled, machines

TEXT = """HloModule m
%inner (p: f32[8]) -> f32[8] {
  ROOT %huge = f32[1000,1000]{1,0} fusion(%p), kind=kLoop
}

ENTRY %main (a: bf16[4,8], b: f32[4,8]) -> f32[4,8] {
  %a = bf16[4,8]{1,0} parameter(0)
  %b = f32[4,8]{1,0} parameter(1)
  %c.1 = f32[2,3]{1,0:T(8,128)} convolution(%a, %b), window={size=3}
  %d = (f32[4,8]{1,0}, u8[16]{0}) custom-call(%a), custom_call_target="__cudnn$convForward"
  ROOT %e.2 = f32[4,8]{1,0} fusion(%a, %b), metadata={op_name="f/mul"}, x={"estimated_cycles":"90"}
}
"""


def test_operations_are_those_of_the_main_computation_by_bytes() -> None:
    found = compiled.costly_operations(TEXT)
    # 4 * 8 numbers of two bytes, as many of four, and the result.
    first = {"name": "e.2", "kind": "fusion", "bytes": 320, "cycles": 90, "source": "f/mul"}
    assert found[0] == first
    assert [each["bytes"] for each in found] == [320, 64 + 128 + 24, 64 + 128 + 16]
    assert compiled.estimated_cycles(TEXT) == 90 and compiled.estimated_cycles("") is None
    assert compiled.float32_convolutions(TEXT) == 2
    assert compiled.costly_operations("HloModule m") == []


def test_a_program_of_this_machine_is_read() -> None:
    lowered = jax.jit(lambda x: jnp.sin(x @ x).T + 1.0).lower(jnp.ones((64, 64)))
    found = compiled.costly_operations(lowered.compile().as_text() or "")
    assert found and all(each["bytes"] >= 2 * 4 * 64 * 64 for each in found)
    json.dumps(found)


def test_topologies_are_named_by_chip_and_shape() -> None:
    assert machines.parse_topology("v5e:2x4") == machines.Topology("v5e", "2x4", 8)
    assert machines.parse_topology("v5p:2x2x1").count == 4
    assert machines.parse_topology("a100:8") == machines.Topology("a100", "", 8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("v5x:2x4", "did you mean v5"),
        ("v5e:3x5", "expected v5e: and one of 1x1, 2x2"),
        ("v5e", "expected v5e: and one of 1x1, 2x2"),
        ("a100:9", "expected a100: and one of 1 to 8 GPUs"),
        ("h100:0", "one of 1 to 8 GPUs"),
        ("h100:2x2", "one of 1 to 8 GPUs"),
        ("", "expected CHIP:SHAPE with a chip of v4"),
    ],
)
def test_other_topologies_are_refused(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        machines.parse_topology(text)


def test_a_compiler_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="needs the package libtpu, which is not there"):
        machines.describe_devices(machines.parse_topology("v5e:2x2"))
