"""``python -m tools.fabricate_models``: see ``alrl_jax.commands.fabricate_models``."""

from alrl_jax.commands.fabricate_models import cli

if __name__ == "__main__":
    cli()
