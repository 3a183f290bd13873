"""``python -m tools.verify_image``: see ``alrl_jax.commands.verify_image``."""

from alrl_jax.commands.verify_image import cli

if __name__ == "__main__":
    cli()
