"""``python -m tools.curves``: see ``alrl_jax.commands.verify_image``."""

from alrl_jax.commands.curves import cli

if __name__ == "__main__":
    cli()
