"""``python -m tools.model_card``: see ``alrl_jax.commands.model_card``."""

from alrl_jax.commands.model_card import cli

if __name__ == "__main__":
    cli()
