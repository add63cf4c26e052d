"""Models: functions that take a number of sites and give a `Hamiltonian`.

`MODELS` is what a configuration can call by name; one file a model.
"""

from __future__ import annotations

from collections.abc import Callable

from qep_tn.hamiltonian import Hamiltonian
from qep_tn.models.cluster_ising import cluster_ising
from qep_tn.models.transverse_field_ising import transverse_field_ising
from qep_tn.models.xxz import xxz, xxz_staggered

MODELS: dict[str, Callable[..., Hamiltonian]] = {
    "cluster_ising": cluster_ising,
    "transverse_field_ising": transverse_field_ising,
    "xxz": xxz,
    "xxz_staggered": xxz_staggered,
}

__all__ = ["MODELS", "cluster_ising", "transverse_field_ising", "xxz", "xxz_staggered"]
