"""What every settings model shares: strictness, and errors that name the key and the file in one line."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from relatent.errors import ConfigError


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values are not coerced, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


S = TypeVar("S", bound=Settings)


def checked(kind: type[S], values: Any, where: str) -> S:
    """`values` as settings of `kind`.

    Args:
        where: file or option the values come from, for the message.

    Raises:
        ConfigError: one line per wrong key.
    """
    return _checked(lambda: kind.model_validate(values), where)


def checked_json(kind: type[S], text: str, where: str) -> S:
    """As `checked`, of settings in JSON, where a list stands for a tuple too; text that is no JSON is a ConfigError."""
    return _checked(lambda: kind.model_validate_json(text), where)


def _checked(validate: Callable[[], S], where: str) -> S:
    try:
        return validate()
    except ValidationError as error:
        raise ConfigError("\n".join(_line(problem, where) for problem in error.errors())) from None


def _line(problem: Any, where: str) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "unknown key; remove it, or see config/README.md for the keys there are"
    given = problem.get("input")
    shown = f" (given: {given!r})" if isinstance(given, (str, int, float, bool)) else ""
    return f"{where}: {key}: {message}{shown}"
