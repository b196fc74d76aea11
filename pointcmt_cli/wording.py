"""How errors, names and numbers are put into words, alike in every message, table and page. In: values; out: text."""

from collections.abc import Iterable, Sequence
from typing import Annotated, TypedDict

UNKNOWN = "—"
"""Stands where a number is not known."""


class Spread(TypedDict):
    """Over seeds."""

    mean: float
    std: Annotated[float | None, "sample standard deviation (n - 1); `null` with one run"]


def one_line(said: object, most: int | None = None, kind: bool = False) -> str:
    """The text of an error, or any other, in one line of at most so many characters; `kind`: after its type's name.

    >>> one_line(ValueError("two\\n  lines"), kind=True)
    'ValueError: two lines'
    """
    text, name = " ".join(str(said).split()), type(said).__name__
    if isinstance(said, BaseException):
        text = (f"{name}: {text}" if kind else text) if text else name
    return text if most is None or len(text) <= most else f"{text[:most]}..."


def some_of(names: Iterable[object], most: int = 5) -> str:
    """The first names, and how many are left out.

    >>> some_of(["chair", "table", "lamp", "sofa"], most=2)
    'chair, table and 2 more'
    """
    every = [str(each) for each in names]
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest or "none"


def from_to(fewest: int, most: int | None) -> str:
    """The numbers that something takes; None: there is no largest.

    >>> from_to(16, None)
    '16 or more'
    """
    if fewest == most:
        return f"exactly {most}"
    return f"{fewest} or more" if most is None else f"{fewest} to {most}"


def install_extra(extra: str) -> str:
    """The command that installs an extra of pointcmt.

    >>> install_extra("hub")
    "pip install 'pointcmt[hub]'"
    """
    return f"pip install 'pointcmt[{extra}]'"


def missing_package(
    whose: str, package: str, extra: str, error: BaseException | None = None
) -> str:
    """What to say where a package of an extra is not there; `error`: what its import raised, if it may be broken.

    >>> missing_package("a report", "plotly", "report")
    "a report needs plotly: pip install 'pointcmt[report]'"
    """
    broken = f", which does not import ({one_line(error)})" if error else ""
    return f"{whose} needs {package}{broken}: {install_extra(extra)}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] as the field prints it.

    >>> percent(0.9312)
    '93.1 %'
    """
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def hundredths(share: float | None) -> str:
    """A share in percent without the unit, which the heading says.

    >>> hundredths(0.9312)
    '93.1'
    """
    return UNKNOWN if share is None else f"{100 * share:.1f}"


def interval(shares: Sequence[float]) -> str:
    """Two shares in percent without the unit.

    >>> interval([0.912, 0.934])
    '91.2–93.4'
    """
    return "–".join(map(hundredths, shares))


def spread(found: Spread | None, signed: bool = False) -> str:
    """Mean and standard deviation of shares, in percent without the unit.

    >>> spread({"mean": 0.931, "std": 0.004})
    '93.1 ± 0.4'
    """
    return _spread(found, 100, 1, signed)


def plain_spread(found: Spread | None, signed: bool = False) -> str:
    """Mean and standard deviation of numbers other than shares.

    >>> plain_spread({"mean": -0.204, "std": 0.1}, signed=True)
    '-0.20 ± 0.10'
    """
    return _spread(found, 1, 2, signed)


def chance(p_value: float | None) -> str:
    """A p-value; None: there was nothing to test.

    >>> chance(0.00001)
    '< 0.001'
    """
    if p_value is None:
        return "no test"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _spread(found: Spread | None, scale: float, digits: int, signed: bool) -> str:
    if found is None:
        return UNKNOWN
    deviation = "" if found["std"] is None else f" ± {scale * found['std']:.{digits}f}"
    return f"{scale * found['mean']:{'+' if signed else ''}.{digits}f}{deviation}"
