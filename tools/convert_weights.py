"""``python -m tools.convert_weights``: see ``alrl_jax.commands.convert_weights``."""

from alrl_jax.commands.convert_weights import cli

if __name__ == "__main__":
    cli()
