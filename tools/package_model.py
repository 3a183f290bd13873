"""``python -m tools.package_model``: see ``alrl_jax.commands.package_model``."""

from alrl_jax.commands.package_model import cli

if __name__ == "__main__":
    cli()
