"""``python -m tools.search_selection``: see ``alrl_jax.commands.search_selection``."""

from alrl_jax.commands.search_selection import cli

if __name__ == "__main__":
    cli()
