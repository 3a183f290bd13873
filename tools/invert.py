"""``python -m tools.invert``: see ``alrl_jax.commands.invert``."""

from alrl_jax.commands.invert import cli

if __name__ == "__main__":
    cli()
