"""Models: functions that take a number of sites and give a `Hamiltonian`.

`MODELS` is what a configuration can call by name; one file a model. `PHASES` has the
exact phases of those that have any.
"""

from __future__ import annotations

from collections.abc import Callable

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.models import lattice
from qep_tn.models.bose_hubbard import bose_hubbard
from qep_tn.models.cluster_ising import cluster_ising
from qep_tn.models.cluster_ising_phases import CLUSTER_ISING
from qep_tn.models.fermi_hubbard import fermi_hubbard
from qep_tn.models.heisenberg_ladder import heisenberg_ladder, j1_j2_chain
from qep_tn.models.ion_chain import ion_chain, ion_chain_alpha_gradient, trapped_ions
from qep_tn.models.ion_trap import ion_couplings, ion_positions, transverse_modes
from qep_tn.models.kitaev_ladder import honeycomb_phase, kitaev_fluxes, kitaev_ladder
from qep_tn.models.phase_sensor import phase_sensor, sensor_sites
from qep_tn.models.phases import ExactPhases
from qep_tn.models.rydberg_array import blockade_radius, density_wave, rydberg_array, structure_factor
from qep_tn.models.spinless_fermions import spinless_fermions
from qep_tn.models.transmon_array import transmon_array
from qep_tn.models.transverse_field_ising import transverse_field_ising
from qep_tn.models.xxz import xxz, xxz_staggered

MODELS: dict[str, Callable[..., Hamiltonian]] = {
    "bose_hubbard": bose_hubbard,
    "cluster_ising": cluster_ising,
    "fermi_hubbard": fermi_hubbard,
    "spinless_fermions": spinless_fermions,
    "heisenberg_ladder": heisenberg_ladder,
    "ion_chain": ion_chain,
    "j1_j2_chain": j1_j2_chain,
    "kitaev_ladder": kitaev_ladder,
    "rydberg_array": rydberg_array,
    "transmon_array": transmon_array,
    "transverse_field_ising": transverse_field_ising,
    "trapped_ions": trapped_ions,
    "xxz": xxz,
    "xxz_staggered": xxz_staggered,
}

PHASES: dict[str, ExactPhases] = {"cluster_ising": CLUSTER_ISING}

__all__ = [
    "MODELS", "PHASES", "blockade_radius", "bose_hubbard", "cluster_ising", "density_wave", "fermi_hubbard",
    "heisenberg_ladder", "honeycomb_phase", "ion_chain", "ion_chain_alpha_gradient", "ion_couplings",
    "ion_positions", "j1_j2_chain", "kitaev_fluxes", "kitaev_ladder", "lattice", "phase_sensor", "rydberg_array",
    "sensor_sites", "spinless_fermions", "structure_factor", "transmon_array", "transverse_field_ising",
    "transverse_modes", "trapped_ions", "xxz", "xxz_staggered",
]  # fmt: skip
