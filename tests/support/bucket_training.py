"""``alrl train`` around a small task: ``python -m tests.support.bucket_training --workdir=...``."""

from alrl_jax import train
from alrl_jax.utils.files import write_text
from tests.support.fake_task import FakeBatches, FakeTask


def main() -> None:
    """The command, with a task that compiles at once and data that take their time."""
    train.make_task = lambda config: FakeTask()
    train.open_batches = lambda data, batches: FakeBatches(seconds=0.05)
    train.known_shapes = lambda data, batches: None
    train.write_card = lambda workdir: write_text(workdir / "MODEL_CARD.md", "a card")
    train.cli()


if __name__ == "__main__":
    main()
