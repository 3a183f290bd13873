"""``python -m tools.measure_fid``: see ``alrl_jax.commands.measure_fid``."""

from alrl_jax.commands.measure_fid import cli

if __name__ == "__main__":
    cli()
