"""A device in a solver's place: where a task asks for a ground state, the device prepares one and measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from qep_tn.devices.device import Device, Resumable, ask
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.solvers.protocol import Nudging, Observed, Solver
from qep_tn.states.ground_state import GroundState
from qep_tn.states.measured_state import MeasuredState

_MEASURED = "device_measured"  # name in state.h5


class OnDevice(Solver):
    """Ground states that a device prepares, known by what is measured in them.

    shots: of every circuit in every state.
    """

    nudging: ClassVar[Nudging] = Nudging.MEASURED
    has_overlaps: ClassVar[bool] = False

    def __init__(self, device: Device, shots: int) -> None:
        self.device, self.shots = device, shots

    def __repr__(self) -> str:
        return f"{type(self.device).__name__}, {self.shots} shots"

    def ground_state(self, H: Hamiltonian, theta: Theta, start: GroundState | None = None) -> GroundState:
        """With the expectation values of all couplings of H. The device begins from nothing, whatever the start."""
        return self.observed(H, theta, H.couplings).state

    def observed(
        self, H: Hamiltonian, theta: Theta, operators: Sequence[Operator], start: GroundState | None = None,
        nudge: Operator | None = None,
    ) -> Observed:  # fmt: skip
        """A ground state, with these operators' values and their standard errors. nudge: added to the Hamiltonian."""
        controls = H.unflatten(H.flatten(theta))
        values, errors = ask(self.device, controls, nudge or Operator({}), operators, self.shots)
        state = MeasuredState(tuple(operators), values, errors)
        # of the energy, nothing is known: the Hamiltonian is not
        return Observed(GroundState(np.nan, state, H.sites, energy_variance=np.nan), values, errors)

    def settings(self) -> dict[str, Any]:
        """The kind of device and the shots, and what a simulated one was made with."""
        own = self.device.settings() if isinstance(self.device, Resumable) else {}
        return {"device": type(self.device).__name__, "shots": self.shots, **own}

    def memory(self) -> dict[str, Any]:
        """How many measurements a simulated device has made."""
        return {_MEASURED: self.device.measured} if isinstance(self.device, Resumable) else {}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Set a simulated device back to where it was."""
        if isinstance(self.device, Resumable):
            self.device.measured = int(memory[_MEASURED])


def on_device(H: Hamiltonian | Device, solver: Solver | None, shots: Any = None) -> tuple[Hamiltonian, Solver | None]:
    """What a task works with: a Hamiltonian and its solver, or a device's controls and the device in a solver's place.

    shots: of a device; by default those that it names as its attribute `shots`.
    Raises ValueError for a device with a solver, or whose shots nobody says.
    """
    if isinstance(H, Hamiltonian):
        return H, solver
    if isinstance(H, type) or not isinstance(H, Device):
        what = f"the class {H.__name__}" if isinstance(H, type) else f"a {type(H).__name__}"
        raise ValueError(f"H is {what}; give a Hamiltonian, or a device with sites, parameters, measure")
    name = type(H).__name__
    if isinstance(solver, OnDevice) and solver.device is H:
        return controls(H), solver
    if solver is not None:
        raise ValueError(f"{name} is a device, which prepares its ground states itself; leave solver out")
    count = getattr(H, "shots", None) if shots is None else shots
    if count is None:
        raise ValueError(
            f"{name} is a device, and nobody says how many shots it takes; give shots, or the device an attribute shots"
        )
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 2:
        raise ValueError(f"shots = {count!r}: a device takes a whole number, at least 2, which make a standard error")
    return controls(H), OnDevice(H, int(count))


def controls(device: Device) -> Hamiltonian:
    """A device's controls with the operators that they are believed to multiply: names and sizes of theta."""
    try:
        sites = tuple(device.sites)
        parameters = tuple(
            (name, value if isinstance(value, Operator) else tuple(value)) for name, value in device.parameters.items()
        )
    except (AttributeError, TypeError):
        raise ValueError(
            f"{type(device).__name__}: sites must be as those of a Hamiltonian, such as qt.qubits(6), and parameters a "
            "dictionary of operators by name"
        ) from None
    return _of_controls(sites, parameters)


@lru_cache(maxsize=8)
def _of_controls(sites: Any, parameters: tuple[tuple[str, Operator | tuple[Operator, ...]], ...]) -> Hamiltonian:
    return Hamiltonian(sites, dict(parameters))


def one_process(processes: int | None, executor: object) -> int:
    """How many processes ask a device. Raises ValueError for more than one: there is one device."""
    if executor is not None or processes not in (None, 1):
        raise ValueError(
            "a device is asked by one process, for there is one of it; leave processes and executor (--workers, "
            "--scheduler) out"
        )
    return 1


def refuse_device(H: object, what: str) -> None:
    """Raise ValueError where a device stands in the place of a Hamiltonian."""
    if isinstance(H, Device) and not isinstance(H, Hamiltonian):
        raise ValueError(
            f"{what} takes no device, but a Hamiltonian; {type(H).__name__} is taken by qt.gradient and the tasks"
        )
