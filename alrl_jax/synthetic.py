"""The public name of the world of primitives: this module is ``alrl_jax.worlds.primitives``."""

import sys

from alrl_jax.worlds import primitives
from alrl_jax.worlds.primitives import *  # noqa: F403 (what type checkers see)

sys.modules[__name__] = primitives
