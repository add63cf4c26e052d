"""The one loop of every task that goes step by step: settings checked, newest row found, step, save, until all is done.

A task writes its step and its table. What comes next depends on nothing but what it saves, so that a run that was
killed or interrupted at any moment ends where one ends that was not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import xarray as xr
from tqdm import tqdm

from qep_tn.hamiltonians.sites import Sites
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.settings_check import fingerprint
from qep_tn.states.ground_state import GroundState

_SAVING = 9  # of the time goes to steps for one part that goes to saving, if steps are short


class Stepwise(Protocol):
    """A task on its way."""

    @property
    def sites(self) -> Sites:
        """Of its ground states."""

    @property
    def rows(self) -> int:
        """How many steps are done."""

    @property
    def total(self) -> int | None:
        """How many there will be; None if nobody knows."""

    @property
    def unit(self) -> str:
        """What a step makes, such as a point."""

    def advance(self) -> bool:
        """The next step; False, without one, when all is done."""

    def figures(self) -> dict[str, str]:
        """What the progress bar shows of the last step."""

    def dataset(self) -> xr.Dataset:
        """The table, all steps so far."""

    def snapshot(self) -> tuple[Sequence[GroundState], dict[str, Any]]:
        """What `restore` needs: ground states, and numbers, arrays and texts by name, "step" of them the rows."""

    def restore(self, states: Sequence[GroundState], extra: Mapping[str, Any], run: RunFolder) -> None:
        """Go back to a snapshot; the table's rows are the run's.

        Raises ValueError, with the reason, for settings that do not go on from it, and KeyError for a snapshot of
        another task.
        """


def carry_through(
    task: Stepwise, run: RunFolder | None, settings: Mapping[str, Any], name: str, progress: bool = True
) -> None:
    """Take every step that is left, and save each.

    run: where to save, or to go on from; without it nothing is written. settings: all that decides the task's numbers,
    but what may grow, such as the number of steps; the task itself says whether it goes on from what is there.
    name: of the progress bar. Raises ValueError if the run was begun with other settings.
    """
    if run is not None:
        run.begin(fingerprint(settings))
        if (saved := run.load_states(task.sites)) is not None:
            try:
                task.restore(*saved, run)
            except KeyError:
                raise ValueError(
                    f"{run.path} holds nothing of this task to resume; choose another folder with --out"
                ) from None
    with tqdm(
        total=task.total, initial=task.rows, desc=name, unit=task.unit, file=sys.stderr, disable=not progress,
        delay=0.5,  # a model that the solver refuses is refused before
    ) as bar:  # fmt: skip
        saver = _Saver(task, run)
        try:
            while task.advance():
                saver.step_done()
                bar.set_postfix(task.figures(), refresh=False)
                bar.update(task.rows - bar.n)
        finally:
            saver.save_rest()


class _Saver:
    """Saves every step; of steps that take less time than nine times what saving does, those that keep it to a tenth,
    and the last one, also where the next one is interrupted, and has changed a part of the table.
    """

    def __init__(self, task: Stepwise, run: RunFolder | None) -> None:
        self.task, self.run = task, run
        self.next_time = 0.0
        self.pending: tuple[xr.Dataset | None, Sequence[GroundState], dict[str, Any]] | None = None
        self.a_row_a_step = True

    def step_done(self) -> None:
        if self.run is None:
            return
        # rows of steps stay, and are told by their number; other tables are taken as they are now
        table = None if self.a_row_a_step else self.task.dataset()
        self.pending = (table, *self.task.snapshot())
        if time.monotonic() >= self.next_time:
            self.save_rest()

    def save_rest(self) -> None:
        """What is not saved yet."""
        if self.run is None or self.pending is None:
            return
        began = time.monotonic()
        table, states, extra = self.pending
        if table is None:
            table = self.task.dataset()
            self.a_row_a_step = "step" in table.dims
            table = table.isel(step=slice(int(extra["step"]))) if self.a_row_a_step else table
        self.run.save(table, states, extra)
        self.pending = None
        now = time.monotonic()
        self.next_time = now + _SAVING * (now - began)
