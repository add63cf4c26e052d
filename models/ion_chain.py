"""Trapped ions: spins that all interact, as a power of their distance or as the modes of their trap have it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator, X, Y, Z
from qep_tn.hamiltonians.sites import qubits
from qep_tn.models.chain import check_length, parameter
from qep_tn.models.ion_trap import ion_couplings

Interaction = Literal["ising", "xy"]


def ion_chain(
    L: int, alpha: float = 1.5, interaction: Interaction = "ising", local: bool = False, couplings: Any = None
) -> Hamiltonian:
    """H = J sum_{i<j} K_ij X_i X_j + B sum_j Z_j on L ions, Pauli matrices, K_ij = |i - j|^-alpha.

    interaction: "xy" has (X_i X_j + Y_i Y_j) / 2, which swaps excitations, in place of X_i X_j.
    local: an amplitude J_ij for each pair, by i and then j, and a field for each ion; the couplings are J_ij K_ij, so
        that equal amplitudes are the chain with one. With alpha = 0 the amplitudes are the couplings themselves.
    couplings: K in place of the power law, a symmetric matrix (L, L), as from `ion_couplings`; alpha is not used then.

    H is linear in all its parameters but alpha, which is therefore an argument here; `ion_chain_alpha_gradient` has the
    slope along it. Units: whatever J and B are in; experiments have J up to 2 pi 1 kHz, positive (antiferromagnetic)
    for a beat note above all modes, and alpha from 0.5 to 1.8; 0 to 3 are within reach (Islam et al., Science 340, 583
    (2013); Jurcevic et al., Nature 511, 202 (2014); Monroe et al., Rev. Mod. Phys. 93, 025001 (2021)). J < 0 is the
    ferromagnet, whose ground state is the highest state of the other sign.
    Left out: motion that is really excited, decoherence, and, but in `trapped_ions`, couplings that are no power law.
    Raises ValueError for fewer than two ions, a negative alpha, and a matrix that is none of L ions.
    """
    check_length("ion_chain", L, 2, periodic=False)
    i, j = np.triu_indices(L, 1)
    strengths = _power_law(j - i, alpha) if couplings is None else _checked(couplings, L)[i, j]
    pairings = {"ising": _ising, "xy": _xy}
    pair = pairings.get(interaction) if isinstance(interaction, str) else None
    if pair is None:
        raise ValueError(f'ion_chain: interaction is {interaction!r}; it is "ising" or "xy"')
    pairs = [k * pair(m, n) for k, m, n in zip(strengths.tolist(), i.tolist(), j.tolist(), strict=True)]
    return Hamiltonian(qubits(L), {"J": parameter(pairs, local), "B": parameter([Z(n) for n in range(L)], local)})


def trapped_ions(
    L: int,
    axial: float,
    transverse: float,
    detuning: float,
    rabi: float,
    recoil: float = 18.5,
    interaction: Interaction = "ising",
    local: bool = False,
) -> Hamiltonian:
    """`ion_chain` with couplings from the modes of a trap, K = `ion_couplings`, whose arguments these are.

    All frequencies in one unit, 2 pi kHz where recoil is left as it is. J = 1 is what these lasers give, B is in that
    unit. Raises ValueError as these two.
    """
    return ion_chain(
        L, interaction=interaction, local=local, couplings=ion_couplings(L, axial, transverse, detuning, rabi, recoil)
    )


def ion_chain_alpha_gradient(J: ArrayLike, gradient: ArrayLike) -> float:
    """Slope d loss / d alpha of `ion_chain(L, alpha, local=True)`, from theta["J"] and its gradient.

    The couplings J_ij |i - j|^-alpha have the derivative -ln|i - j| J_ij |i - j|^-alpha: by the chain rule one gradient
    of all pairs gives that of alpha. With errors in place of the gradient and |J|, minus the result bounds its error.
    Raises ValueError unless both have one entry for each pair of a chain.
    """
    amplitudes, slopes = np.asarray(J, float), np.asarray(gradient, float)
    L = round((1 + np.sqrt(1 + 8 * amplitudes.size)) / 2)
    if amplitudes.shape != slopes.shape or amplitudes.shape != (L * (L - 1) // 2,):
        raise ValueError(f"J has shape {amplitudes.shape}, gradient {slopes.shape}: give both for every pair of ions")
    i, j = np.triu_indices(L, 1)
    return float(-(np.log(j - i) * amplitudes * slopes).sum())


def _ising(i: int, j: int) -> Operator:
    return X(i) * X(j)


def _xy(i: int, j: int) -> Operator:
    return 0.5 * (X(i) * X(j) + Y(i) * Y(j))


def _power_law(distances: NDArray, alpha: float) -> NDArray:
    if isinstance(alpha, bool) or not isinstance(alpha, int | float | np.number) or not 0 <= alpha < np.inf:
        raise ValueError(f"ion_chain: alpha is {alpha!r}; it must be a number, 0 or more")
    return distances.astype(float) ** -alpha


def _checked(couplings: Any, L: int) -> NDArray:
    matrix = np.asarray(couplings, float)
    if matrix.shape != (L, L) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, 1e-10, 0):
        raise ValueError(f"ion_chain: couplings must be a symmetric matrix of finite numbers, {L} x {L}")
    return matrix
