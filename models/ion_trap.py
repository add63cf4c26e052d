"""Ions in a linear trap: where they stand, how they swing, and how lasers make their spins interact.

All frequencies of one call are in one unit, such as 2 pi kHz; couplings come out in it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NEWTON = 100  # steps; 2 to 300 ions take 6 to 10


def ion_positions(ions: int) -> NDArray:
    """Equilibrium positions of ions in a harmonic trap, ascending, (ions,).

    In units of (e^2 / 4 pi epsilon_0 M omega_z^2)^(1/3), a few micrometres: 4.4 for 171Yb+ at omega_z = 2 pi 0.5 MHz.
    Where the trap's force and Coulomb repulsion cancel: u_m = sum_n sign(u_m - u_n) / (u_m - u_n)^2 (James, Appl. Phys.
    B 66, 181 (1998), eq. 5), by Newton's method. Raises ValueError unless there is a whole number of ions, 1 or more.
    """
    if isinstance(ions, bool) or not isinstance(ions, int) or ions < 1:
        raise ValueError(f"ion_positions({ions!r}): the number of ions is a whole number, 1 or more")
    u = 2.018 / ions**0.559 * (np.arange(ions) - (ions - 1) / 2)  # equally spaced, by the least spacing (James, eq. 7)
    for _ in range(_NEWTON):
        distances = u[:, None] - u
        np.fill_diagonal(distances, np.inf)
        step = np.linalg.solve(_axial_matrix(u), u - (np.sign(distances) / distances**2).sum(axis=1))
        while (np.diff(u - step) <= 0).any():
            step = step / 2  # ions do not pass each other
        u = u - step
        if np.abs(step).max() < 1e-15 * ions:
            break
    return (u - u[::-1]) / 2


def transverse_modes(ions: int, axial: float, transverse: float) -> tuple[NDArray, NDArray]:
    """Frequencies of the modes across the trap, and their vectors.

    axial, transverse: the trap's frequencies, of one ion. Returns omega_m, descending, (ions,), the first of them that
    of the centre of mass, `transverse`; and b_im, (ions, modes), orthonormal columns.
    omega_m^2 are the eigenvalues of transverse^2 + axial^2 (1 - A) / 2, A the matrix of the axial modes (James 1998).
    Raises ValueError where the line of ions buckles into a zigzag: some omega_m^2 is not positive.
    """
    if not 0 < axial < math.inf or not 0 < transverse < math.inf:
        raise ValueError(f"axial = {axial}, transverse = {transverse}: trap frequencies must be positive and finite")
    matrix = transverse**2 * np.eye(ions) + axial**2 * (np.eye(ions) - _axial_matrix(ion_positions(ions))) / 2
    squares, vectors = np.linalg.eigh(matrix)
    if squares[0] <= 0:
        raise ValueError(
            f"axial = {axial:g}, transverse = {transverse:g}: {ions} ions buckle into a zigzag; a line of them needs "
            f"transverse/axial above {math.sqrt(transverse**2 - squares[0]) / axial:.4g}"
        )
    return np.sqrt(squares[::-1]), vectors[:, ::-1]


def ion_couplings(
    ions: int, axial: float, transverse: float, detuning: float, rabi: ArrayLike, recoil: float
) -> NDArray:
    """J_ij = rabi_i rabi_j recoil sum_m b_im b_jm / (mu^2 - omega_m^2) of a spin-dependent force, (ions, ions).

    detuning: of the force's beat note mu above the centre-of-mass mode, mu = transverse + detuning; near above it all
        J_ij are positive and fall off slowly, far from all modes as |i - j|^-3. rabi: one Rabi frequency, or each
        ion's. recoil: hbar (Delta k)^2 / 2 M, 2 pi 18.5 kHz for 171Yb+ and two beams of 355 nm at a right angle.
    The diagonal is zero. Holds for |mu - omega_m| far above sqrt(recoil/omega_m) rabi: motion is excited virtually.
    Typical: transverse 2 pi 4.8 MHz, axial 2 pi 0.2 to 1 MHz, J_ij up to 2 pi 1 kHz, falling off with exponents
    0.5 to 1.8 (Islam et al., Science 340, 583 (2013); Monroe et al., Rev. Mod. Phys. 93, 025001 (2021), section III).
    Raises ValueError as `transverse_modes`, and for a beat note on a mode.
    """
    frequencies, vectors = transverse_modes(ions, axial, transverse)
    drive = np.asarray(rabi, float)
    if drive.shape not in ((), (ions,)) or not np.isfinite(drive).all():
        raise ValueError(f"rabi has shape {drive.shape}; give one finite number, or one for each of {ions} ions")
    if not 0 < recoil < math.inf:
        raise ValueError(f"recoil = {recoil}: must be positive and finite")
    offsets = (transverse + detuning) ** 2 - frequencies**2
    if not np.isfinite(offsets).all() or (np.abs(offsets) < 1e-9 * transverse**2).any():
        raise ValueError(f"detuning = {detuning}: the beat note is on a mode, or not finite; move it away")
    couplings = recoil * (vectors / offsets) @ vectors.T * np.multiply.outer(*(np.broadcast_to(drive, ions),) * 2)
    np.fill_diagonal(couplings, 0.0)
    return (couplings + couplings.T) / 2


def _axial_matrix(u: NDArray) -> NDArray:
    """The Hessian of the potential along the trap: 1 + 2 sum_p 1/|u_n - u_p|^3 on the diagonal, -2/|u_n - u_m|^3."""
    distances = np.abs(u[:, None] - u)
    np.fill_diagonal(distances, np.inf)
    cubes = 2 / distances**3
    return np.diag(1 + cubes.sum(axis=1)) - cubes
