"""What a device answers: a ground state prepared at some controls, and expectation values from shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.hamiltonians.sites import Sites


@runtime_checkable
class Device(Protocol):
    """A quantum simulator, whose Hamiltonian is never seen. Any object with these members is one.

    sites, parameters: attributes, as of a `Hamiltonian`: the controls by name, and the operators that they multiply as
        far as is known. They give names and sizes to what is controlled; that they are right is not assumed.
    """

    @property
    def sites(self) -> Sites:
        """As of a `Hamiltonian`, such as `qt.qubits(6)`."""

    @property
    def parameters(self) -> Mapping[str, Operator | Sequence[Operator]]:
        """The controls by name, each with its operator, or a sequence of one for each coupling."""

    def measure(
        self, theta: Theta, nudge: Operator, observables: Sequence[Operator], shots: int
    ) -> tuple[NDArray, NDArray]:
        """Prepare the ground state at the controls theta, with the nudge in the Hamiltonian, and measure.

        nudge: is added to the Hamiltonian; without terms in the free phase, otherwise a sum of the observables of a
            loss, each with its strength as an energy. shots: of every circuit that the device needs.
        Returns (values, errors), each (number of observables,): expectation values and their standard errors.
        """


@runtime_checkable
class Resumable(Protocol):
    """A device whose random numbers can be had again, as those of a simulated one.

    measured: how many measurements it has made. A run that is resumed sets it back to what it was.
    """

    measured: int

    def settings(self) -> dict[str, Any]:
        """What it was made with, by name: a run goes on with the same settings alone."""


def ask(
    device: Device, theta: Theta, nudge: Operator, observables: Sequence[Operator], shots: int
) -> tuple[NDArray, NDArray]:
    """What a device measures. Raises ValueError for an answer that is none."""
    answer = device.measure(theta, nudge, tuple(observables), shots)
    name = type(device).__name__
    try:
        values, errors = (_real(part) for part in answer)
    except (TypeError, ValueError):
        raise ValueError(f"{name}.measure returns {answer!r}; it must be (values, errors), arrays of numbers") from None
    for what, part in (("values", values), ("errors", errors)):
        if part.shape != (len(observables),):
            raise ValueError(f"{name}.measure returns {what} of shape {part.shape} for {len(observables)} observables")
        if not np.isfinite(part).all():
            raise ValueError(
                f"{name}.measure returns {what} that are not finite, first at {int(np.argmin(np.isfinite(part)))}"
            )
    if (errors < 0).any():
        raise ValueError(f"{name}.measure returns negative errors; they are standard errors")
    return values, errors


def _real(part: Any) -> NDArray:
    """Numbers as an array. Raises TypeError for complex ones."""
    array = np.asarray(part)
    if np.iscomplexobj(array):
        raise TypeError
    return np.array(array, float)
