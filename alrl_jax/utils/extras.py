"""Importing packages that are optional: extras of the installation."""

import contextlib
import importlib.util
from collections.abc import Iterator

from alrl_jax.errors import UserError


@contextlib.contextmanager
def importing(module: str, missing: str) -> Iterator[None]:
    """Explains in one line why the imports of the block failed.

    A package that is installed and broken is not called missing: installing it again would not
    help, and its own words say what would.

    Args:
        module: outermost name of what is imported.
        missing: message where there is no such package.

    Raises:
        UserError: there is no such package, or it cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            raise UserError(missing) from None
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            f"got the package {module}, which is installed and cannot be imported ({reason}); "
            "expected one that works; repair its installation"
        ) from error


def is_installed(module: str) -> bool:
    """Whether there is a package of an outermost name; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # a module without a specification, or None in its place
        return False
