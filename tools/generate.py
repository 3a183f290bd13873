"""``python -m tools.generate``: see ``alrl_jax.commands.generate``."""

from alrl_jax.commands.generate import cli

if __name__ == "__main__":
    cli()
