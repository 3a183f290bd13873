"""``python -m tools.memory_report``: see ``alrl_jax.commands.memory_report``."""

from alrl_jax.commands.memory_report import cli

if __name__ == "__main__":
    cli()
