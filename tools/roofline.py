"""``python -m tools.roofline``: see ``alrl_jax.commands.roofline``."""

from alrl_jax.commands.roofline import cli

if __name__ == "__main__":
    cli()
