"""``python -m tools.export_model``: see ``alrl_jax.commands.export_model``."""

from alrl_jax.commands.export_model import cli

if __name__ == "__main__":
    cli()
