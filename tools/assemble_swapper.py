"""``python -m tools.assemble_swapper``: see ``alrl_jax.commands.assemble_swapper``."""

from alrl_jax.commands.assemble_swapper import cli

if __name__ == "__main__":
    cli()
