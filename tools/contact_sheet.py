"""``python -m tools.contact_sheet``: see ``alrl_jax.commands.contact_sheet``."""

from alrl_jax.commands.contact_sheet import cli

if __name__ == "__main__":
    cli()
