"""Random cases in which local updates see little: distant products of operators, and states of low entanglement.

Each family takes a number of sites and a random generator, and returns (Hamiltonian, theta, observable).
"""

import numpy as np

import qep_tn as qt
from qep_tn import X, Y, Z
from qep_tn.hamiltonians.sites import qubit, spin

PAULI = (X, Y, Z)


def dot(i, j):
    """S_i . S_j of two spins 1/2."""
    return 0.25 * (X(i) * X(j) + Y(i) * Y(j) + Z(i) * Z(j))


def distant(length, rng, number=None, kinds=PAULI):
    """A product of two, three or four Pauli operators anywhere on the chain, and its sites."""
    number = number or int(rng.integers(2, 5))
    sites = sorted(int(s) for s in rng.choice(length, number, replace=False))
    product = 1.0
    for site in sites:
        product = product * kinds[rng.integers(len(kinds))](site)
    return product, sites


def others(length, sites):
    """Z on the first of some sites times Z on each other one: couplings of which none need lie between the sites."""
    return [Z(sites[0]) * Z(j) for j in range(length) if j != sites[0]]


def pairs(length):
    """All pairs of sites."""
    return [(i, j) for i in range(length) for j in range(i + 1, length)]


def field_chain(length, rng):
    """A paramagnet, down to a product state, with the observable as a coupling that is zero."""
    product, _ = distant(length, rng, kinds=(Y, Z))
    parameters = {
        "h": [-X(j) for j in range(length)], "g": -sum(Z(j) * Z(j + 1) for j in range(length - 1)), "c": -product,
    }  # fmt: skip
    theta = {"h": rng.uniform(0.8, 1.3, length), "g": float(rng.choice([0.0, 0.1, 0.5])), "c": 0.0}
    if rng.random() < 0.5:
        parameters["J"] = [Z(i) * Z(j) for i, j in pairs(length)]
        theta["J"] = np.zeros(len(parameters["J"]))
    return qt.Hamiltonian(qt.qubits(length), parameters), theta, product


def dimers(length, rng):
    """Singlet pairs, alone or weakly coupled."""
    length -= length % 2
    product, sites = distant(length, rng)
    weak = rng.choice([0.0, 0.1, 0.3])
    J = np.where(np.arange(length - 1) % 2 == 0, rng.uniform(0.8, 1.3, length - 1), weak)
    parameters = {"J": [dot(j, j + 1) for j in range(length - 1)], "c": others(length, sites), "o": product}
    return qt.Hamiltonian(qt.qubits(length), parameters), {"J": J, "c": np.zeros(length - 1), "o": 0.0}, product


def majumdar_ghosh(length, rng):
    """The Majumdar-Ghosh point and its neighbourhood."""
    length -= length % 2
    product, _ = distant(length, rng)
    if rng.random() < 0.5:
        site = int(rng.integers(0, length - 1))
        product = Z(site) * Z(site + 1)
    parameters = {
        "J1": sum(dot(j, j + 1) for j in range(length - 1)), "J2": sum(dot(j, j + 2) for j in range(length - 2)),
        "z": others(length, [0]),
    }  # fmt: skip
    theta = {"J1": 1.0, "J2": 0.5 + float(rng.choice([0, 0, 1e-4, 0.02])), "z": np.zeros(length - 1)}
    return qt.Hamiltonian(qt.qubits(length), parameters), theta, product


def aklt(length, rng):
    """The AKLT chain with spins 1/2 at its ends, whose ground state is unique and an MPS of bond dimension 2."""
    length = 6 + length % 2
    components = (qt.Sx, qt.Sy, qt.Sz)

    def product_of_spins(i, j):
        return components[0](i) * components[0](j) + components[1](i) * components[1](j) + qt.Sz(i) * qt.Sz(j)

    inner = [product_of_spins(j, j + 1) for j in range(1, length - 2)]
    bulk = [p + (1 / 3) * p * p for p in inner]
    observable = 1.0
    for site in sorted(int(s) for s in rng.choice(length, int(rng.integers(2, 4)), replace=False)):
        observable = observable * (qt.Sz(site) if rng.random() < 0.6 else qt.Sx(site))
    parameters = {
        "J": bulk, "e": [product_of_spins(0, 1), product_of_spins(length - 2, length - 1)],
        "z": [qt.Sz(0) * qt.Sz(j) for j in range(1, length)],
    }  # fmt: skip
    theta = {"J": rng.uniform(0.9, 1.1, len(bulk)), "e": np.ones(2), "z": np.zeros(length - 1)}
    return qt.Hamiltonian((qubit(), *([spin(2)] * (length - 2)), qubit()), parameters), theta, observable


def cluster(length, rng):
    """The cluster state, its ends fixed, and in a weak field."""
    stabilizers = [Z(j) * X(j + 1) * Z(j + 2) for j in range(length - 2)]
    stabilizers = [X(0) * Z(1), *stabilizers, Z(length - 2) * X(length - 1)]
    product, _ = distant(length, rng)
    parameters = {
        "g": [-s for s in stabilizers], "x": [-X(j) for j in range(length)], "y": [Y(j) for j in range(length)],
        "z": [Z(i) * Z(j) for i, j in pairs(length)],
    }  # fmt: skip
    theta = {
        "g": rng.uniform(0.8, 1.2, length), "x": np.full(length, float(rng.choice([0.0, 0.05, 0.3]))),
        "y": np.zeros(length), "z": np.zeros(len(parameters["z"])),
    }  # fmt: skip
    return qt.Hamiltonian(qt.qubits(length), parameters), theta, product


def polarised(length, rng):
    """XXZ in a field above saturation: a product state whose excitations hop."""
    product, sites = distant(length, rng)
    parameters = {
        "xy": -sum(X(j) * X(j + 1) + Y(j) * Y(j + 1) for j in range(length - 1)),
        "zz": sum(Z(j) * Z(j + 1) for j in range(length - 1)), "h": [-Z(j) for j in range(length)],
        "c": [X(sites[0]) * X(j) for j in range(length) if j != sites[0]],
    }  # fmt: skip
    theta = {"xy": 0.3, "zz": 0.2, "h": rng.uniform(1.8, 2.2, length), "c": np.zeros(length - 1)}
    return qt.Hamiltonian(qt.qubits(length), parameters), theta, product


def factorising(length, rng):
    """The XY chain at its factorising field, with a tilt that chooses between the two product states."""
    gamma = float(rng.uniform(0.2, 0.8))
    fields = np.full(length, 2 * np.sqrt(1 - gamma**2))
    fields[[0, -1]] /= 2
    product, _ = distant(length, rng)
    parameters = {
        "x": -sum(X(j) * X(j + 1) for j in range(length - 1)), "y": -sum(Y(j) * Y(j + 1) for j in range(length - 1)),
        "h": [-Z(j) for j in range(length)], "t": -sum(X(j) for j in range(length)), "c": product,
    }  # fmt: skip
    theta = {"x": 1 + gamma, "y": 1 - gamma, "h": fields, "t": float(rng.choice([0.1, 0.3])), "c": 0.0}
    return qt.Hamiltonian(qt.qubits(length), parameters), theta, product


def gapped(length, rng):
    """Cluster-Ising chains, gapped and near their transitions."""
    scales = [(2.5, 1.0, 0.5), (1.0, 0.5, 0.6), (1.3, 1.0, 0.0), (2.0, 1.9, 0.0)][rng.integers(4)]
    product, sites = distant(length, rng)
    H = qt.models.cluster_ising(length, local=True)
    theta = {
        name: scale * rng.uniform(0.8, 1.2, len(H.parameters[name]))
        for name, scale in zip(("g_x", "g_zz", "g_zxz"), scales, strict=True)
    }
    parameters = {**H.parameters, "c": product, "d": others(length, sites)}
    return qt.Hamiltonian(H.sites, parameters), {**theta, "c": 0.0, "d": np.zeros(length - 1)}, product


def critical(length, rng):
    """XXZ chains in their gapless phase."""
    length -= length % 2
    product, sites = distant(length, rng)
    parameters = {
        "xy": sum(X(j) * X(j + 1) + Y(j) * Y(j + 1) for j in range(length - 1)),
        "zz": [Z(j) * Z(j + 1) for j in range(length - 1)], "c": product, "z": others(length, sites),
    }  # fmt: skip
    theta = {
        "xy": 1.0, "zz": np.full(length - 1, float(rng.uniform(-0.5, 1))), "c": 0.0, "z": np.zeros(length - 1),
    }  # fmt: skip
    return qt.Hamiltonian(qt.qubits(length), parameters), theta, product


def ions(length, rng):
    """Long-range XX couplings, down to none, in a field."""
    product, _ = distant(length, rng)
    strength = float(rng.choice([0, 0.05, 0.3]))
    parameters = {
        "J": [X(i) * X(j) for i, j in pairs(length)], "h": [Z(j) for j in range(length)], "c": product,
    }  # fmt: skip
    theta = {
        "J": np.array([strength / abs(i - j) ** 1.5 for i, j in pairs(length)]), "h": rng.uniform(0.8, 1.2, length),
        "c": 0.0,
    }  # fmt: skip
    return qt.Hamiltonian(qt.qubits(length), parameters), theta, product


def sparse_long(length, rng):
    """Fields and three weak distant products in the Hamiltonian itself; a local or a distant observable."""
    products = [distant(length, rng, kinds=(Z, Y))[0] for _ in range(3)]
    parameters = {"h": [-X(j) for j in range(length)], "J": products, "c": others(length, [0])}
    theta = {
        "h": rng.uniform(0.8, 1.3, length), "J": rng.choice([1e-3, 0.05, 0.4], 3), "c": np.zeros(length - 1),
    }  # fmt: skip
    observable = X(int(rng.integers(length))) if rng.random() < 0.4 else distant(length, rng)[0]
    return qt.Hamiltonian(qt.qubits(length), parameters), theta, observable


FAMILIES = (
    field_chain, dimers, majumdar_ghosh, aklt, cluster, polarised, factorising, gapped, critical, ions, sparse_long,
)  # fmt: skip
