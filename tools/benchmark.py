"""``python -m tools.benchmark``: see ``alrl_jax.commands.benchmark``."""

from alrl_jax.commands.benchmark import cli

if __name__ == "__main__":
    cli()
