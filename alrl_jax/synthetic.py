"""The public name of the first world: this module is ``alrl_jax.worlds.WORLDS["primitives"]``."""

import sys

from alrl_jax.worlds import primitives
from alrl_jax.worlds.primitives import *  # noqa: F403 (what type checkers see)

sys.modules[__name__] = primitives
