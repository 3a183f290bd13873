"""``python -m tools.sign_image``: see ``alrl_jax.commands.sign_image``."""

from alrl_jax.commands.sign_image import cli

if __name__ == "__main__":
    cli()
