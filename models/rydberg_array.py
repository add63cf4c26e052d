"""Atoms in optical tweezers, driven to a Rydberg state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Number, Operator, X
from qep_tn.hamiltonians.sites import qubits
from qep_tn.models.chain import parameter


def rydberg_array(
    L: int | None = None,
    spacing: float = 1.0,
    positions: Any = None,
    cutoff: float | None = None,
    disorder: float = 0.0,
    seed: int = 0,
    local: bool = False,
) -> Hamiltonian:
    """H = (Omega/2) sum_j X_j - Delta sum_j n_j + C6 sum_{i<j} n_i n_j / r_ij^6, n = |1><1|, |1> the Rydberg state.

    L, spacing: atoms in a row, equally spaced; or positions: (L, dimensions), or (L,) along a line, in the order of
        the matrix product state (`lattice.ladder(25).positions`, times a spacing). cutoff: distance beyond which atoms
        do not interact, in the same unit; None: all pairs do.
    disorder: standard deviation of every coordinate of every atom, normal random numbers from `seed`; what tweezers
        have is 0.1 to 0.2 um in 4 to 6 um, and differs from shot to shot.
    local: one coupling an atom, and one C6 for each pair within the cutoff, by i and then j.

    Units: Omega, Delta in 2 pi MHz and C6 in 2 pi MHz um^6, 862690 for 70S of 87Rb; Omega up to 2 pi 2 to 5, Delta of
    either sign up to 2 pi 20, distances of 3 to 10 um (Bernien et al., Nature 551, 579 (2017); Wurtz et al.,
    arXiv:2306.11727). With spacing = 1 and Omega = 1, C6 = (R_b/a)^6: here R_b is where C6/R_b^6 = Omega, as in Bernien
    et al.; `blockade_radius` has the other convention too.
    Left out: decay, motion, the van der Waals law's end at short distances.
    Raises ValueError unless either L or positions are given, for atoms that coincide and for what is not finite.
    """
    places = _places(L, spacing, positions, disorder, seed)
    if cutoff is not None and not cutoff > 0:
        raise ValueError(f"rydberg_array: cutoff is {cutoff!r}; it is a distance above 0, or left out for all pairs")
    atoms = len(places)
    i, j = np.triu_indices(atoms, 1)
    distances = np.linalg.norm(places[i] - places[j], axis=1)
    if not (distances > 1e-9 * distances.max()).all():
        k = int(np.argmin(distances))
        raise ValueError(f"rydberg_array: atoms {i[k]} and {j[k]} stand at one place; give each a position of its own")
    if not 1e-50 < distances.min() < 1e50:
        raise ValueError(f"rydberg_array: atoms stand {distances.min():.1e} apart; choose another unit of length")
    near = distances <= (math.inf if cutoff is None else cutoff * (1 + 1e-12))
    if not near.any():
        raise ValueError(f"rydberg_array: cutoff = {cutoff} is below the least distance, {distances.min():.4g}")
    pairs = [
        r**-6 * Number(a) * Number(b)
        for r, a, b in zip(distances[near].tolist(), i[near].tolist(), j[near].tolist(), strict=True)
    ]
    return Hamiltonian(
        qubits(atoms),
        {
            "Omega": parameter([0.5 * X(k) for k in range(atoms)], local),
            "Delta": parameter([-Number(k) for k in range(atoms)], local),
            "C6": parameter(pairs, local),
        },
    )


def blockade_radius(C6: float, Omega: float, Delta: float = 0.0) -> float:
    """R_b = (C6 / sqrt(Omega^2 + Delta^2))^(1/6), in the unit of length in C6.

    Without Delta the convention of Bernien et al. (2017), C6/R_b^6 = Omega, which is this package's; with it that of
    QuEra's machine and its software, Bloqade (Wurtz et al., arXiv:2306.11727). Raises ValueError unless C6 is positive,
    and Omega or Delta not zero.
    """
    if not (C6 > 0 and 0 < math.hypot(Omega, Delta) < math.inf):
        raise ValueError(f"blockade_radius: C6 = {C6}, Omega = {Omega}, Delta = {Delta}: there is none without a drive")
    return float((C6 / math.hypot(Omega, Delta)) ** (1 / 6))


def density_wave(L: int, period: int) -> Operator:
    """Z_p order: sum_j cos(2 pi j / period) n_j / L, which is 1/period where every period-th atom from 0 is excited.

    Its expectation value is zero where no site is special and `period` divides L, and of order 1/L of the density
    where it does not. Ends are special: on open chains of 1 + a multiple of `period`
    atoms both want to be excited, and pin the order; else take `structure_factor`.
    """
    _check_period(L, period)
    return sum((math.cos(2 * math.pi * j / period) / L * Number(j) for j in range(L)), Operator({}))


def structure_factor(L: int, period: int) -> Operator:
    """|sum_j exp(2 pi i j / period) n_j / L|^2: 1/period^2 in each of the ordered states, about 1/L or less in none."""
    _check_period(L, period)
    terms: dict[Any, float] = {((j, ("Number",)),): L**-2 for j in range(L)}  # n^2 = n
    for i in range(L):
        for j in range(i + 1, L):
            terms[(i, ("Number",)), (j, ("Number",))] = 2 * math.cos(2 * math.pi * (i - j) / period) * L**-2
    return Operator(terms)


def _places(L: int | None, spacing: float, positions: Any, disorder: float, seed: int) -> NDArray:
    """Where the atoms are, (atoms, dimensions)."""
    if (L is None) == (positions is None):
        raise ValueError("rydberg_array: give either L atoms in a row, or positions")
    if positions is None:
        if isinstance(L, bool) or not isinstance(L, int) or L < 2:
            raise ValueError(f"rydberg_array(L={L!r}): needs a whole number of atoms, 2 or more")
        if not 0 < spacing < math.inf:
            raise ValueError(f"rydberg_array: spacing is {spacing!r}; it must be positive and finite")
        places = float(spacing) * np.arange(L)[:, None]
    else:
        places = np.asarray(positions, float)
        places = places[:, None] if places.ndim == 1 else places
        if places.ndim != 2 or len(places) < 2 or not np.isfinite(places).all():
            raise ValueError("rydberg_array: positions must be finite numbers, one row for each of two or more atoms")
    if not 0 <= disorder < math.inf:
        raise ValueError(f"rydberg_array: disorder is {disorder!r}; it is a standard deviation, 0 or more")
    return places + disorder * np.random.default_rng(seed).standard_normal(places.shape)


def _check_period(L: int, period: int) -> None:
    if isinstance(period, bool) or not isinstance(period, int) or not 2 <= period <= L:
        raise ValueError(f"period = {period!r}: a whole number of sites, 2 to {L}")
