"""``python -m tools.scaling_report``: see ``alrl_jax.commands.scaling_report``."""

from alrl_jax.commands.scaling_report import cli

if __name__ == "__main__":
    cli()
