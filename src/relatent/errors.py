"""What can go wrong, with the exit code each kind ends a command with (DESIGN section 5)."""


class RelatentError(Exception):
    """A failure the user can act on: one line saying what, where, what to do. Commands print it without a traceback."""

    exit_code = 1


class ConfigError(RelatentError):
    """A wrong setting or a wrong argument."""

    exit_code = 2


class DataIntegrityError(RelatentError):
    """Bytes that are not what their receipt, checksum or format says."""

    exit_code = 1


class MissingDataError(RelatentError):
    """A file or a tool that is not there."""

    exit_code = 3


class TrainingError(RelatentError):
    """A training run that cannot go on: divergence, NaN, a collapsed model, a checkpoint of another run."""

    exit_code = 1
