"""Models: functions that take a number of sites and give a `Hamiltonian`.

`MODELS` is what a configuration can call by name; one file a model. `PHASES` has the
exact phases of those that have any.
"""

from __future__ import annotations

from collections.abc import Callable

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.models.cluster_ising import cluster_ising
from qep_tn.models.cluster_ising_phases import CLUSTER_ISING
from qep_tn.models.fermi_hubbard import fermi_hubbard
from qep_tn.models.phase_sensor import phase_sensor, sensor_sites
from qep_tn.models.phases import ExactPhases
from qep_tn.models.spinless_fermions import spinless_fermions
from qep_tn.models.transverse_field_ising import transverse_field_ising
from qep_tn.models.xxz import xxz, xxz_staggered

MODELS: dict[str, Callable[..., Hamiltonian]] = {
    "cluster_ising": cluster_ising,
    "fermi_hubbard": fermi_hubbard,
    "spinless_fermions": spinless_fermions,
    "transverse_field_ising": transverse_field_ising,
    "xxz": xxz,
    "xxz_staggered": xxz_staggered,
}

PHASES: dict[str, ExactPhases] = {"cluster_ising": CLUSTER_ISING}

__all__ = [
    "MODELS", "PHASES", "cluster_ising", "fermi_hubbard", "phase_sensor", "sensor_sites", "spinless_fermions",
    "transverse_field_ising", "xxz", "xxz_staggered",
]  # fmt: skip
