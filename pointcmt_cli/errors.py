"""The errors a user can mend: one line each (the thing, the cause, the mend); everything else is a bug."""


class PointCMTError(Exception):
    """A user's error; the command prints its one line and ends with `exit_status`.

    >>> raise PointCMTError("my-renderer: width 0 must be at least 1 pixel")
    Traceback (most recent call last):
    pointcmt_cli.errors.PointCMTError: my-renderer: width 0 must be at least 1 pixel
    """

    exit_status = 1
    tell: bool | None = None
    """Of a job's several processes, whether this one prints the line; None: the first one does."""


class UsageError(PointCMTError):
    """What was typed cannot be meant: exit status 2."""

    exit_status = 2


class PluginError(PointCMTError):
    """A plug-in is missing, broken, ambiguous, wrongly called or breaks its contract."""


class DataError(PointCMTError):
    """A file or folder cannot be read, or does not hold what it should."""


class OtherKindError(DataError):
    """A checkpoint of ours, but of a kind that the command does not take."""


class FinishedError(DataError):
    """A finished output of other settings stands where the result of this run would go."""

    def __init__(self, finding: str, mend: str) -> None:
        super().__init__(f"{finding}: {mend}")
        self.finding = finding


class StaleError(PointCMTError):
    """An input has changed since what depends on it was made."""


class ParityError(PointCMTError):
    """An exported model does not give the eager model's probabilities."""


class JobLostError(PointCMTError):
    """Of several processes that train together, one has ended before its time."""


class StageInterruptedError(PointCMTError):
    """Ctrl-C in a stage; what was finished is kept."""

    exit_status = 130
