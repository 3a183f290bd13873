"""What errors of libraries say of a checkpoint."""


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it came from, says that memory ran out, here or on a device."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or "RESOURCE_EXHAUSTED" in str(cause):
            return True
        cause = cause.__cause__
    return False


def reason_of(error: BaseException) -> str:
    """First line of the error that started a chain of them."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
