"""``python -m tools.compare_rows``: see ``alrl_jax.commands.compare_rows``."""

from alrl_jax.commands.compare_rows import cli

if __name__ == "__main__":
    cli()
