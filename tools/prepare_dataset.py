"""``python -m tools.prepare_dataset``: see ``alrl_jax.commands.prepare_dataset``."""

from alrl_jax.commands.prepare_dataset import cli

if __name__ == "__main__":
    cli()
