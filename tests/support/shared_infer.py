"""``alrl infer`` with a stand-in that takes its time: several processes share the pairs."""

import os
import time
from typing import Any

from alrl_jax import infer
from tests.support.fakes import FakeSwapper


class SlowSwapper(FakeSwapper):
    """Takes ``$SECONDS_A_BATCH`` for a batch."""

    def swap(self, *inputs: Any, **asked: Any) -> Any:
        time.sleep(float(os.environ.get("SECONDS_A_BATCH", "0")))
        return super().swap(*inputs, **asked)


def main() -> None:
    """The command."""
    infer.load_swapper = lambda directory: SlowSwapper()
    infer.cli()


if __name__ == "__main__":
    main()
