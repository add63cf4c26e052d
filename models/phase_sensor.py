"""A quantum sensor of a few qubits beside a many-body system, whose outcomes are to tell the system's phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from numbers import Integral
from typing import Any

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator, local
from qep_tn.hamiltonians.sites import qubit

PAULIS = "XYZ"

Near = Sequence[int] | Sequence[Sequence[int]]


def phase_sensor(
    system: Hamiltonian, sensors: int = 2, near: Near = (0, 1), couplings: str | Sequence[Operator] = PAULIS
) -> Hamiltonian:
    """H = H_system + sum_c sensor_c S_c + sum_k coupling_k P_i Q_s, with sensor qubits s among the system's sites.

    sensors: how many sensor qubits. near: sites of the system that every sensor couples to; or a sequence of such
        sequences, one for each sensor. couplings: the Pauli matrices that may occur in P_i and Q_s, such as "XZ"; or
        operators of the system, such as bonds [Z(0) * Z(1)], of which each takes the place of a P_i and couples to X, Y
        and Z of every sensor: `near` then only says where the sensors stand.
    Two array parameters beside the system's own, all products with a plus sign: `sensor`, X, Y and Z of every sensor
        and then the nine products of every two sensors; `coupling`, for each site (in the order given) and each P, or
        for each operator, the products with each sensor and each Q. With sites that all sensors share, `coupling`
        reshaped to (sites x letters, sensors x letters) is the matrix of the published work.

    A sensor stands in the middle of its sites, in the order of the matrix product state: see `sensor_sites`.
    Model: Wanjura and Marquardt, Nat. Commun. 16 (2025), arXiv:2406.06482, supervised learning.
    Raises ValueError for sites that are not there or no qubits, for an operator that the system does not have, and for
    a system with a parameter of these names.
    """
    groups, places, sites = _layout(len(system.sites), sensors, near)
    for site in sorted({site for group in groups for site in group}):
        if system.sites[site] != qubit():
            raise ValueError(f"phase_sensor: near has site {site}, which is no qubit; a sensor couples to qubits")
    if clash := next((name for name in ("sensor", "coupling") if name in system.parameters), None):
        raise ValueError(f"phase_sensor: the system has a parameter {clash!r} of its own; rename it")
    joint = [qubit()] * (len(places) + sensors)
    for place, kind in zip(places, system.sites, strict=True):
        joint[place] = kind
    parameters: dict[str, Operator | Sequence[Operator]] = {
        name: [_moved(a, places) for a in value] if isinstance(value, tuple) else _moved(value, places)
        for name, value in system.parameters.items()
    }
    parameters["sensor"] = [local(p, s) for s in sites for p in PAULIS] + [
        local(p, s) * local(q, t) for s, t in combinations(sites, 2) for p in PAULIS for q in PAULIS
    ]
    if isinstance(couplings, str):
        letters = _checked_letters(couplings)
        ordered = list(dict.fromkeys(site for group in groups for site in group))
        parameters["coupling"] = [
            local(p, places[site]) * local(q, sensor)
            for site in ordered
            for p in letters
            for sensor, group in zip(sites, groups, strict=True)
            if site in group
            for q in letters
        ]
    else:
        if isinstance(couplings, Operator) or not all(isinstance(a, Operator) and a.support for a in couplings):
            raise ValueError("phase_sensor: couplings must be letters, or a list of operators that act on some site")
        for number, operator in enumerate(couplings):
            operator.check(system.sites, f"phase_sensor: couplings[{number}]")
        parameters["coupling"] = [
            _moved(a, places) * local(q, sensor) for a in couplings for sensor in sites for q in PAULIS
        ]
    return Hamiltonian(tuple(joint), parameters, _moved(system.fixed, places))


def sensor_sites(L: int, sensors: int = 2, near: Near = (0, 1)) -> tuple[int, ...]:
    """The sites of the sensor qubits in the joint chain of `phase_sensor`, for a system of L sites."""
    return _layout(L, sensors, near)[2]


def _layout(L: int, sensors: int, near: Near) -> tuple[list[tuple[int, ...]], list[int], tuple[int, ...]]:
    """The system's sites of each sensor; where each site of the system stands in the joint chain; and each sensor.

    A sensor stands behind the lower one of the two sites in the middle of its own, so that the range of its couplings
    is least.
    """
    if isinstance(sensors, bool) or not isinstance(sensors, int) or sensors < 1:
        raise ValueError(f"phase_sensor: sensors is {sensors!r}; it must be a whole number, 1 or more")
    given: list[Any] = list(near) if isinstance(near, Iterable) else []
    shared = all(isinstance(site, Integral) for site in given)
    if not given or not (shared or all(isinstance(group, Iterable) for group in given)):
        raise ValueError(f"phase_sensor: near is {near!r}; give sites, such as (0, 1), or such a sequence a sensor")
    sequences = [given] * sensors if shared else given
    groups = [tuple(int(site) for site in sequence) for sequence in sequences]
    if len(groups) != sensors:
        raise ValueError(f"phase_sensor: near has sites for {len(groups)} sensors, and there are {sensors}")
    for group in groups:
        if not group or len(set(group)) < len(group):
            raise ValueError(f"phase_sensor: near has {list(group)}; name one site or more, each once")
        if outside := [site for site in group if not 0 <= site < L]:
            raise ValueError(f"phase_sensor: near has site {outside[0]}; the system has sites 0..{L - 1}")
    behind = [sorted(group)[(len(group) - 1) // 2] for group in groups]
    places = [site + sum(b < site for b in behind) for site in range(L)]
    order = sorted(range(sensors), key=lambda k: behind[k])  # stable: sensors beside each other keep theirs
    sites = {k: behind[k] + 1 + n for n, k in enumerate(order)}
    return groups, places, tuple(sites[k] for k in range(sensors))


def _checked_letters(couplings: str) -> str:
    if not couplings or set(couplings) - set(PAULIS) or len(set(couplings)) < len(couplings):
        raise ValueError(f"phase_sensor: couplings is {couplings!r}; give some of the letters X, Y and Z, each once")
    return couplings


def _moved(operator: Operator, places: Sequence[int]) -> Operator:
    """The same operator on other sites, whose order is the same."""
    return Operator({
        tuple((places[site], names) for site, names in product): c for product, c in operator.terms.items()
    })  # fmt: skip
