"""``python -m tools.export_weights``: see ``alrl_jax.commands.export_weights``."""

from alrl_jax.commands.export_weights import cli

if __name__ == "__main__":
    cli()
