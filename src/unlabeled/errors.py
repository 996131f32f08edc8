"""The errors that a user can cause. The command line prints their one line and exits with status 2."""


class InputError(ValueError):
    """What came in can't be used: the message says what came, what was wanted and what to do."""


class MissingExtra(ImportError):
    """An optional package is needed: the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, why: str):
        super().__init__(f'{why} needs {package}: pip install "unlabeled[{extra}]"')


class MissingCompiler(ImportError):
    """A compiled loop is needed and there is no C compiler, or it failed: the message says which and why."""
