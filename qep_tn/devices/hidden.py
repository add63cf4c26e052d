"""What a simulated device hides: miscalibrated controls, disorder, couplings that nobody knows of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator

NO_OPERATOR = Operator({})


@dataclass(frozen=True, eq=False)
class Hidden:
    """How the Hamiltonian of a device differs from the one believed.

    A coupling that is set to theta_k is in truth scale_k * theta_k + offset_k.

    scale, offset: name -> float or array, of some or all parameters: one number for all couplings of an array
        parameter, or one for each. Scales have no unit, offsets are energies.
    extra: what is there besides, whatever the controls are.
    operators: name -> what a parameter multiplies in truth, where that is not what is believed; as many as there are
        believed to be.
    """

    scale: Mapping[str, ArrayLike] = field(default_factory=dict)
    offset: Mapping[str, ArrayLike] = field(default_factory=dict)
    extra: Operator = NO_OPERATOR
    operators: Mapping[str, Operator | Sequence[Operator]] = field(default_factory=dict)

    @classmethod
    def disorder(cls, H: Hamiltonian, strength: float, seed: int = 0) -> Hidden:
        """Every product of every coupling of H, times 1 + strength * a normal random number: static disorder of
        controls, also of each site or bond that one scalar parameter drives.
        """
        if not 0 <= strength < np.inf:
            raise ValueError(f"Hidden.disorder: strength = {strength}; it must not be negative")
        rng = np.random.default_rng(seed)

        def disordered(operator: Operator) -> Operator:
            return Operator({p: c * (1 + strength * rng.standard_normal()) for p, c in operator.terms.items()})

        return cls(
            operators={
                name: tuple(map(disordered, a)) if isinstance(a, tuple) else disordered(a)
                for name, a in H.parameters.items()
            }
        )

    def check(self, H: Hamiltonian) -> None:
        """Raise ValueError for what does not fit a Hamiltonian."""
        for what, given in (("scale", self.scale), ("offset", self.offset), ("operators", self.operators)):
            if unknown := next((name for name in given if name not in H.parameters), None):
                raise ValueError(f"hidden: {what} has {unknown!r}, but the parameters are {', '.join(H.parameters)}")
        if not isinstance(self.extra, Operator):
            raise ValueError(f"hidden: extra is a {type(self.extra).__name__}; it must be an Operator such as X(3)")
        for name, value in self.operators.items():
            believed = H.parameters[name]
            sizes = [len(a) if isinstance(a, Sequence) else 0 for a in (believed, value)]
            if sizes[0] != sizes[1]:
                raise ValueError(f"hidden: operators[{name!r}] must be as many as the Hamiltonian has of them")
        self.factors(H)
        self.offsets(H)

    def factors(self, H: Hamiltonian) -> NDArray:
        """The scale of every coupling."""
        return _over_couplings(H, self.scale, 1.0, "scale")

    def offsets(self, H: Hamiltonian) -> NDArray:
        """The offset of every coupling."""
        return _over_couplings(H, self.offset, 0.0, "offset")

    def hamiltonian(self, H: Hamiltonian) -> Hamiltonian:
        """The true Hamiltonian, for true couplings."""
        return Hamiltonian(H.sites, {**H.parameters, **self.operators}, H.fixed + self.extra)

    def couplings(self, H: Hamiltonian, theta: Theta) -> NDArray:
        """The true couplings, where the controls are theta."""
        return self.factors(H) * H.flatten(theta) + self.offsets(H)


def as_hidden(hidden: Hidden | Operator | Mapping[str, ArrayLike] | None) -> Hidden:
    """An operator as what is there besides, a mapping as offsets. Raises ValueError for anything else."""
    if hidden is None:
        return Hidden()
    if isinstance(hidden, Operator):
        return Hidden(extra=hidden)
    if isinstance(hidden, Mapping):
        return Hidden(offset=hidden)
    if isinstance(hidden, Hidden):
        return hidden
    raise ValueError(
        f"hidden is a {type(hidden).__name__}; give qt.Hidden, an Operator that is there besides, or offsets by name"
    )


def _over_couplings(H: Hamiltonian, given: Mapping[str, ArrayLike], otherwise: float, what: str) -> NDArray:
    values: dict[str, Any] = {}
    for name, a in H.parameters.items():
        value = np.asarray(given.get(name, otherwise), float)
        shape = (len(a),) if isinstance(a, tuple) else ()
        if value.shape not in ((), shape):
            raise ValueError(f"hidden: {what}[{name!r}] has shape {value.shape}; give one number, or shape {shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"hidden: {what}[{name!r}] must be finite")
        values[name] = np.broadcast_to(value, shape)
    return H.flatten(values)
