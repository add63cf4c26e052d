"""A simulated device: a Hamiltonian that is not what it is believed to be, solved and sampled."""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.devices.hidden import Hidden, as_hidden
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator, is_hermitian
from qep_tn.measurement.estimates import measure
from qep_tn.measurement.shots import Shots, as_shots
from qep_tn.solvers.protocol import Solver, refuse_others, settings_of
from qep_tn.solvers.registry import default_solver
from qep_tn.states.ground_state import GroundState

_KEPT = 2  # ground states, so that a phase which is measured twice in a row is solved once
_MEASUREMENTS, _DRIFT = 0, 1  # streams of random numbers


class SimulatedDevice:
    """A `Device` whose true Hamiltonian is H with what is hidden.

    H: what is believed; its sites and parameters are the device's. Its fixed part is there in truth.
    hidden: `qt.Hidden`; or an Operator that is there besides, or offsets of couplings by parameter name.
    solver: of the true Hamiltonian; by default as in `qt.gradient`. Every state is searched cold.
    shots: of every circuit where nobody says another number; `qt.Shots` may have Gaussian noise, for operators of any
        kind.
    readout: errors of qubit readout, P[read, true], (2, 2), or (L, 2, 2) for L qubits.
    drift: standard deviation of what a measurement adds to the offset of every coupling, a random walk, in units of
        energy; one number, or by parameter name.
    seed: of all random numbers. They follow from it, and from how many measurements were made before; `measured`, which
        says so, may be set back.

    Raises ValueError for what does not fit H.
    """

    def __init__(
        self, H: Hamiltonian, hidden: Hidden | Operator | Mapping[str, ArrayLike] | None = None, *,
        solver: Solver | None = None, shots: int | Shots = 500, readout: ArrayLike | None = None,
        drift: float | Mapping[str, ArrayLike] = 0.0, seed: int = 0,
    ) -> None:  # fmt: skip
        if not isinstance(H, Hamiltonian):
            raise ValueError(f"SimulatedDevice: H is a {type(H).__name__}; give the Hamiltonian that is believed")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"SimulatedDevice: seed is {seed!r}; it must be a whole number, 0 or more")
        self.H, self.hidden = H, as_hidden(hidden)
        self.hidden.check(H)
        self.sites, self.parameters = H.sites, H.parameters
        self.solver = default_solver(H) if solver is None else solver
        refuse_others(self.solver)
        noise = as_shots(shots)
        self._noise = noise if readout is None else replace(noise, readout=readout)
        self.shots, self.seed, self.measured = int(noise.count), seed, 0
        self._noise.read(np.zeros((1, len(H.sites)), np.uint8), H.sites, np.random.default_rng(0))  # whether it fits
        walk = drift if isinstance(drift, Mapping) else dict.fromkeys(H.parameters, drift)
        if unknown := next((name for name in walk if name not in H.parameters), None):
            raise ValueError(f"drift has {unknown!r}, but the parameters are {', '.join(H.parameters)}")
        self._walk = Hidden(offset=walk).offsets(H)
        if (self._walk < 0).any():
            raise ValueError("SimulatedDevice: drift is a standard deviation; it must not be negative")
        self._true = self.hidden.hamiltonian(H)
        self._drifted = 0, np.zeros(len(H.couplings))
        self._states: OrderedDict[tuple[Any, ...], GroundState] = OrderedDict()

    def __repr__(self) -> str:
        return f"SimulatedDevice({self.H}, {self.shots} shots, {self.measured} measurements made)"

    def settings(self) -> dict[str, Any]:
        """What decides its numbers, by name, as texts and numbers."""
        hidden = {"scale": self.hidden.factors(self.H).tolist(), "offset": self.hidden.offsets(self.H).tolist()}
        operators = [str(a) for a in (*self._true.couplings, self._true.fixed)]
        noise = {"kind": self._noise.kind, "readout": np.asarray(self._noise.readout).tolist()}
        own = {f"solver_{name}": value for name, value in settings_of(self.solver).items()}
        return {
            **own,
            "hidden": hidden,
            "true_operators": operators,
            **noise,
            "drift": self._walk.tolist(),
            "seed": self.seed,
        }

    def truth(self, theta: Theta) -> tuple[Hamiltonian, dict[str, Any]]:
        """The true Hamiltonian, and its parameters where the controls are theta, now: for whoever simulates.

        No gradient and no task looks at it.
        """
        return self._true, self._true.unflatten(self.hidden.couplings(self.H, theta) + self._drift())

    def measure(
        self, theta: Theta, nudge: Operator, observables: Sequence[Operator], shots: int
    ) -> tuple[NDArray, NDArray]:
        """See `Device.measure`."""
        state = self._ground_state(theta, nudge)
        rng = np.random.default_rng([self.seed, _MEASUREMENTS, self.measured])
        found = measure(state.state, self.sites, tuple(observables), replace(self._noise, count=shots), rng)
        self.measured += 1
        return found.values, np.sqrt(found.variances)

    def _ground_state(self, theta: Theta, nudge: Operator) -> GroundState:
        true, couplings = self.truth(theta)
        key = true.flatten(couplings).tobytes(), nudge
        if key not in self._states:
            H, strengths = _with_nudge(true, nudge)
            state = self.solver.ground_state(H, {**couplings, **strengths})
            if not state.converged:
                warnings.warn(f"the simulated device's solver: {state.message}", stacklevel=3)
            self._states[key] = state
            while len(self._states) > _KEPT:
                self._states.popitem(last=False)
        return self._states[key]

    def _drift(self) -> NDArray:
        """How far each offset has gone, after the measurements made."""
        if not self._walk.any():
            return self._drifted[1]
        done, offset = self._drifted if self._drifted[0] <= self.measured else (0, np.zeros(len(self._walk)))
        for number in range(done, self.measured):
            offset = offset + self._walk * np.random.default_rng([self.seed, _DRIFT, number]).standard_normal(
                len(offset)
            )
        self._drifted = self.measured, offset
        return offset


def _with_nudge(H: Hamiltonian, nudge: Operator) -> tuple[Hamiltonian, dict[str, NDArray]]:
    """H with a nudge as one more parameter, and its values: the structure of H is built once for nudges that differ in
    strength alone.
    """
    products = tuple(product for product in nudge.terms if product)
    if not products:
        return H, {}
    name = next(name for n in range(len(H.parameters) + 1) if (name := f"nudge{n or ''}") not in H.parameters)
    if all(is_hermitian(Operator({product: 1.0}), H.sites) for product in products):
        return _of_products(H, name, products), {name: np.array([complex(nudge.terms[p]).real for p in products])}
    size = math.hypot(*(abs(nudge.terms[p]) for p in products))
    return H.with_parameter(name, [nudge / size]), {name: np.array([size])}


@lru_cache(maxsize=8)
def _of_products(H: Hamiltonian, name: str, products: tuple[Any, ...]) -> Hamiltonian:
    return H.with_parameter(name, [Operator({product: 1.0}) for product in products])
