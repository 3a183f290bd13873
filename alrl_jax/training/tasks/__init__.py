"""What can be trained: one task a file, chosen by name."""

from alrl_jax.config import Config
from alrl_jax.training.tasks.generator import GeneratorTask
from alrl_jax.training.tasks.identity import IdentityTask
from alrl_jax.training.tasks.names import check_names
from alrl_jax.training.tasks.swap import SwapTask
from alrl_jax.training.tasks.task import ExportedModel, Phase, Task

__all__ = ["TASKS", "ExportedModel", "Phase", "SwapTask", "Task", "make_task"]

TASKS = {"generator": GeneratorTask, "identity": IdentityTask, "swap": SwapTask}


def make_task(config: Config) -> Task:
    """The task that a config names.

    Raises:
        UserError: if the config does not fit the task.
    """
    check_names(config, TASKS)
    return TASKS[config.task](config)
