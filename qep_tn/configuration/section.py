"""What all sections of a configuration share: how strictly they are read, and how messages about them are worded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def hint(problem: str, name: str, known: Iterable[str]) -> str:
    """The problem with a name, and the known name that is nearest, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    return f"{problem}; did you mean {close[0]!r}?" if close else f"{problem}; known are {', '.join(names)}"


def first_line(error: Exception) -> str:
    """The first line of an exception's message."""
    return (str(error).splitlines() or ["no message"])[0]


def shown(value: Any, width: int = 60) -> str:
    """A value as it stands in Python, cut to fit a message."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 4] + " ..."
