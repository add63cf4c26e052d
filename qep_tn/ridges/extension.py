"""What a run may go on with: settings that leave every row as it is, and the sentence for those that do not."""

from __future__ import annotations

from typing import Any

from qep_tn.ridges.plane import Place


def refusal(where: Any, setting: str, was: object, given: object, reason: str) -> ValueError:
    """For a run that cannot go on with another value of a setting."""
    return ValueError(
        f"{where} was made with other settings: {setting} was {was}, and is {given}: {reason}; "
        f"choose another folder with --out"
    )


def check_window_grows(where: Any, was: tuple[Place, ...], given: tuple[Place, ...]) -> None:
    """Raise ValueError unless a window contains the one that a run was made with."""
    if not all(low <= a and b <= high for (a, b), (low, high) in zip(was, given, strict=True)):
        raise refusal(
            where, "window", list(map(list, was)), list(map(list, given)),
            "it may grow, but points that are found must stay in it",
        )  # fmt: skip


def check_points_grow(where: Any, was: int, given: int) -> None:
    """Raise ValueError unless a curve may have as many points as before."""
    if given < was:
        raise refusal(where, "points", was, given, "it may grow, but points that are found stay")
