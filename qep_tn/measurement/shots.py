"""How often, and how, every expectation value is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.hamiltonians.sites import Sites


@dataclass(frozen=True, eq=False)
class Shots:
    """Measurements of a state, instead of its expectation values.

    count: shots of every circuit (measurement setting, a basis for each site) in every state, free or nudged; if
        "gaussian", of every operator in every state.
    kind: "projective", outcomes drawn from the state itself, operators that one product basis measures read from the
        same shots; "gaussian", every expectation value with independent Gaussian noise of its exact variance,
        sqrt((<A^2> - <A>^2) / count), as in the published simulations (arXiv:2406.06482), for operators of any kind.
    readout: errors of projective qubit readout, P[read, true], (2, 2) for all qubits or (L, 2, 2); columns add up to
        one. Estimates are not mitigated: they are what the faulty device reads, and so is a gradient.

    Raises ValueError for a count below two, another kind, or what is no such matrix.
    """

    count: int
    kind: Literal["projective", "gaussian"] = "projective"
    readout: ArrayLike | None = None

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int | np.integer) or self.count < 2:
            raise ValueError(f"shots = {self.count!r}: a whole number of at least 2, which make a standard error")
        if self.kind not in ("projective", "gaussian"):
            raise ValueError(f"Shots: kind = {self.kind!r}; choose 'projective' or 'gaussian'")
        if self.readout is None:
            return
        if self.kind == "gaussian":
            raise ValueError("Shots: readout errors belong to outcomes; choose kind='projective'")
        readout = np.array(self.readout, float)
        if readout.ndim not in (2, 3) or readout.shape[-2:] != (2, 2):
            raise ValueError(f"Shots: readout has shape {readout.shape}; it is (2, 2), or (L, 2, 2) for L qubits")
        if not ((readout >= 0).all() and np.allclose(readout.sum(axis=-2), 1)):
            raise ValueError("Shots: readout[read, true] are probabilities; every column must add up to 1")
        object.__setattr__(self, "readout", readout)

    def read(self, levels: NDArray, sites: Sites, rng: np.random.Generator) -> NDArray:
        """What the device reads where the outcomes are these levels, (shots, L).

        Raises ValueError if readout errors do not fit the sites.
        """
        if self.readout is None:
            return levels
        if any(site.dimension != 2 for site in sites):
            raise ValueError("Shots: readout errors are those of qubits; a site has more than two levels")
        readout = np.asarray(self.readout)
        if readout.ndim == 3 and len(readout) != len(sites):
            raise ValueError(f"Shots: readout has {len(readout)} matrices for {len(sites)} qubits")
        errors = np.broadcast_to(readout, (len(sites), 2, 2))
        ones = errors[np.arange(len(sites)), 1, levels]  # probability to read 1, (shots, L)
        return (rng.random(levels.shape) < ones).astype(levels.dtype)


def as_shots(shots: int | Shots) -> Shots:
    """A number of shots as `Shots`."""
    return shots if isinstance(shots, Shots) else Shots(shots)


def generator(rng: int | np.random.Generator) -> np.random.Generator:
    """A generator, or the one that a seed starts. Raises ValueError for what is neither."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise ValueError(f"rng = {rng!r}: a seed, a whole number that is not negative, or a numpy.random.Generator")
    return np.random.default_rng(rng)
