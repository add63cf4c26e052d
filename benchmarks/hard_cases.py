"""Hard kinds of gradients: where searches end too high, levels lie close, or a gradient vanishes.

Each family takes a number of sites and a random generator, and returns (Hamiltonian, theta, loss).
`python -m benchmarks.trust` asks of each what is trusted and what is right.
"""

import numpy as np

import qep_tn as qt
from benchmarks.families import PAULI, distant, dot, pairs
from qep_tn import X, Y, Z
from qep_tn.hamiltonians.sites import qubit, spin


def built(sites, parameters, theta, loss, fixed=None):
    """A case: parameters without operators are left out."""
    H = qt.Hamiltonian(sites, parameters, **({} if fixed is None else {"fixed": fixed}))
    return H, theta, loss if isinstance(loss, qt.Loss) else qt.Expectation(loss)


def local(length, rng, kinds=PAULI):
    """A product of one or two neighbouring Pauli operators."""
    site = int(rng.integers(length - 1))
    first = kinds[rng.integers(len(kinds))](site)
    return first if rng.random() < 0.5 else first * kinds[rng.integers(len(kinds))](site + 1)


def fields(length, *kinds):
    """Each operator on each site."""
    return {kind.__name__.lower(): [kind(j) for j in range(length)] for kind in kinds}


# --- developed on


def glass(length, rng):
    """All-to-all spin glasses, diagonal or nearly so."""
    h = float(rng.choice([0.0, 0.05, 0.3]))
    J = [Z(i) * Z(j) for i, j in pairs(length)]
    i, j = (int(s) for s in rng.choice(length, 2, replace=False))
    observable = Z(i) * Z(j) if rng.random() < 0.6 else X(i)
    theta = {"J": rng.normal(size=len(J)), "h": np.full(length, h)}
    return built(qt.qubits(length), {"J": J, "h": [X(j) for j in range(length)]}, theta, observable)


def number_partitioning(length, rng):
    """(sum_j n_j Z_j)^2 with a transverse field, some numbers equal, and a pinned first spin."""
    n = rng.integers(1, 12, length) / 6
    J = [Z(i) * Z(j) for i, j in pairs(length)]
    theta = {
        "J": np.array([2 * n[i] * n[j] for i, j in pairs(length)]) / length, "p": float(rng.choice([0.1, 0.5])),
        "h": np.full(length, float(rng.choice([0.0, 0.05, 0.3]))),
    }  # fmt: skip
    parameters = {"J": J, "p": -Z(0), "h": [-X(j) for j in range(length)]}
    return built(qt.qubits(length), parameters, theta, Z(1) if rng.random() < 0.5 else Z(0) * Z(length - 1))


def singlets(length, rng):
    """Products of singlets of neighbours or of distant spins, alone or weakly coupled."""
    length -= length % 2
    order = np.arange(length) if rng.random() < 0.5 else rng.permutation(length)
    partners = [tuple(sorted((int(a), int(b)))) for a, b in order.reshape(-1, 2)]
    J = np.array([1.0 if pair in partners else float(rng.choice([0.0, 0.05])) for pair in pairs(length)])
    J *= rng.uniform(0.8, 1.2, len(J))
    parameters = {"J": [dot(i, j) for i, j in pairs(length)], "h": [Z(j) for j in range(length)]}
    return built(qt.qubits(length), parameters, {"J": J, "h": np.zeros(length)}, distant(length, rng, 2)[0])


def aklt_like(length, rng):
    """Spin-1 chains from Heisenberg's to AKLT's, with spins 1/2 at the ends that need not be bound."""
    length = 6
    components = (qt.Sx, qt.Sy, qt.Sz)

    def product_of_spins(i):
        return components[0](i) * components[0](i + 1) + qt.Sy(i) * qt.Sy(i + 1) + qt.Sz(i) * qt.Sz(i + 1)

    inner = [product_of_spins(j) for j in range(1, length - 2)]
    parameters = {
        "J": inner, "q": [p * p for p in inner], "e": [product_of_spins(0), product_of_spins(length - 2)],
        "d": [qt.Sz(j) * qt.Sz(j) for j in range(1, length - 1)],
    }  # fmt: skip
    theta = {
        "J": rng.uniform(0.9, 1.1, len(inner)), "q": np.full(len(inner), float(rng.choice([0.0, 1 / 3, 0.2]))),
        "e": rng.uniform(0.1, 1.0, 2), "d": np.full(length - 2, float(rng.choice([0.0, 0.1]))),
    }  # fmt: skip
    i, j = sorted(int(s) for s in rng.choice(length, 2, replace=False))
    observable = qt.Sz(i) * qt.Sz(j) if rng.random() < 0.7 else qt.Sx(i) * qt.Sx(j)
    return built((qubit(), *([spin(2)] * (length - 2)), qubit()), parameters, theta, observable)


def degeneracies(length, rng):
    """Exact degeneracies: ferromagnets without field, spins that nothing couples, odd Heisenberg chains."""
    kind = rng.integers(3)
    parameters = {
        "J": [Z(j) * Z(j + 1) for j in range(length - 1)], "s": [dot(j, j + 1) for j in range(length - 1)],
        **fields(length, X, Z),
    }  # fmt: skip
    theta = {name: np.zeros(len(operators)) for name, operators in parameters.items()}
    if kind == 0:
        theta["J"][:] = -1.0
    elif kind == 1:
        theta["J"] = rng.normal(size=length - 1)
        theta["x"] = rng.uniform(0.5, 1.0, length)
        free = int(rng.integers(length))
        theta["x"][free] = theta["z"][free] = 0.0
        theta["J"][max(free - 1, 0) : free + 1] = 0.0
    else:
        theta["s"][: length - 1 - (length + 1) % 2] = 1.0
    return built(qt.qubits(length), parameters, theta, local(length, rng))


def first_order(length, rng):
    """Two phases of eight sites whose energies cross: a chain in its own field against a uniform one."""
    length = 8
    s = 2 * rng.integers(0, 2, length) - 1
    parameters = {
        "J": [-float(s[i] * s[j]) * Z(i) * Z(j) for i, j in pairs(length)], "f": [-Z(j) for j in range(length)],
        "h": [-X(j) for j in range(length)],
    }  # fmt: skip
    crossing = 0.5 * (length + abs(s.sum())) / length
    theta = {
        "J": np.full(len(pairs(length)), 1 / length), "f": np.full(length, crossing * float(rng.uniform(0.9, 1.1))),
        "h": np.full(length, float(rng.choice([0.05, 0.15, 0.3]))),
    }  # fmt: skip
    return built(qt.qubits(length), parameters, theta, local(length, rng, (X, Z)))


def mixed_scales(length, rng):
    """Chains whose couplings span five powers of ten."""
    parameters = {
        "J": [Z(j) * Z(j + 1) for j in range(length - 1)], "K": [Y(j) * Y(j + 1) for j in range(length - 1)],
        **fields(length, X, Z),
    }  # fmt: skip
    theta = {name: rng.choice([-1, 1], len(o)) * 10 ** rng.uniform(-5, 0, len(o)) for name, o in parameters.items()}
    return built(qt.qubits(length), parameters, theta, local(length, rng))


def at_target(length, rng):
    """Squared errors at their target, or just off it."""
    H = qt.models.cluster_ising(length, local=True)
    theta = {n: rng.uniform(0.3, 1.3) * rng.uniform(0.8, 1.2, len(o)) for n, o in H.parameters.items()}
    observables = [local(length, rng, (X,)), Z(2) * Z(3), X(1) * X(length - 2)][: int(rng.integers(1, 4))]
    values = qt.ExactDiagonalization().ground_state(H, theta).expectation(observables)
    off = float(rng.choice([0.0, 1e-13, 1e-9, 1e-5, 1e-3]))
    return H, theta, qt.MeanSquaredError(observables, values + off * rng.normal(size=len(values)))


def weakly_pinned(length, rng):
    """Ferromagnets whose branches a weak field at one end parts by less than a nudge."""
    parameters = {"h": [-X(j) for j in range(length)], "J": [-Z(j) * Z(j + 1) for j in range(length - 1)], "p": -Z(0)}
    theta = {
        "h": np.full(length, float(rng.choice([0.05, 0.2, 0.4]))), "J": rng.uniform(0.9, 1.1, length - 1),
        "p": float(10 ** rng.uniform(-8, -3)),
    }  # fmt: skip
    return built(qt.qubits(length), parameters, theta, Z(int(rng.integers(length))))


def three_body(length, rng):
    """Random three-body products anywhere, and fields."""
    products = [distant(length, rng, 3)[0] for _ in range(length)]
    parameters = {"J": products, "h": [PAULI[j % 3](j) for j in range(length)]}
    theta = {"J": rng.normal(size=length), "h": rng.uniform(0.2, 1.0, length)}
    return built(qt.qubits(length), parameters, theta, distant(length, rng)[0])


def critical_disorder(length, rng):
    """Ising and XX chains of random strengths, at criticality on average."""
    parameters = {
        "J": [-Z(j) * Z(j + 1) for j in range(length - 1)], "K": [Y(j) * Y(j + 1) for j in range(length - 1)],
        "h": [-X(j) for j in range(length)],
    }  # fmt: skip
    ising = rng.random() < 0.5
    theta = {
        "J": rng.random(length - 1), "K": np.zeros(length - 1), "h": rng.random(length) if ising else np.zeros(length),
    }  # fmt: skip
    if not ising:
        theta["K"] = -theta["J"]
        theta["h"] = 0.01 * rng.random(length)
    return built(qt.qubits(length), parameters, theta, local(length, rng))


def magnitude(length, rng):
    """The magnitude of an order parameter that a weak field alone makes other than zero."""
    parameters = {"h": [-X(j) for j in range(length)], "J": [-Z(j) * Z(j + 1) for j in range(length - 1)], "p": -Z(1)}
    theta = {
        "h": rng.uniform(0.8, 1.4, length), "J": rng.uniform(0.3, 0.9, length - 1),
        "p": float(rng.choice([1e-6, 1e-4, 1e-2])),
    }  # fmt: skip
    return built(qt.qubits(length), parameters, theta, qt.Magnitude(sum(Z(j) for j in range(length))))


DEVELOPED = (
    glass, number_partitioning, singlets, aklt_like, degeneracies, first_order, mixed_scales, at_target, weakly_pinned,
    three_body, critical_disorder, magnitude,
)  # fmt: skip


# --- held out


def rydberg(length, rng):
    """Blockaded atoms with all van der Waals couplings, at any detuning."""
    n = [0.5 * (1 - Z(j)) for j in range(length)]
    parameters = {
        "o": [0.5 * X(j) for j in range(length)], "d": [-n[j] for j in range(length)],
        "v": [n[i] * n[j] for i, j in pairs(length)],
    }  # fmt: skip
    radius = float(rng.uniform(1.1, 2.9))
    theta = {
        "o": np.ones(length), "d": np.full(length, float(rng.uniform(-1, 6))) + 0.1 * rng.normal(size=length),
        "v": np.array([(radius / (j - i)) ** 6 for i, j in pairs(length)]),
    }  # fmt: skip
    i, j = sorted(int(s) for s in rng.choice(length, 2, replace=False))
    return built(qt.qubits(length), parameters, theta, n[i] if rng.random() < 0.4 else n[i] * n[j])


def majumdar_ghosh(length, rng):
    """The Majumdar-Ghosh chain, random bonds added down to none; open, so that the ground state is unique."""
    length -= length % 2
    parameters = {
        "J1": [dot(j, j + 1) for j in range(length - 1)], "J2": [dot(j, j + 2) for j in range(length - 2)],
        "z": [Z(0) * Z(j) for j in range(1, length)],
    }  # fmt: skip
    width = float(rng.choice([0.0, 1e-4, 0.05]))
    theta = {
        "J1": 1 + width * rng.normal(size=length - 1), "J2": 0.5 + width * rng.normal(size=length - 2),
        "z": np.zeros(length - 1),
    }  # fmt: skip
    return built(qt.qubits(length), parameters, theta, distant(length, rng)[0])


def free_edges(length, rng):
    """Cluster states whose edge spins are free, or bound by next to nothing."""
    parameters = {
        "g": [-Z(j) * X(j + 1) * Z(j + 2) for j in range(length - 2)], "x": [-X(j) for j in range(length)],
        "e": [-X(0) * Z(1), -Z(length - 2) * X(length - 1)],
    }  # fmt: skip
    theta = {
        "g": rng.uniform(0.8, 1.2, length - 2), "x": np.full(length, float(rng.choice([0.0, 0.05, 0.3]))),
        "e": np.full(2, float(rng.choice([0.0, 1e-6, 1e-3, 0.1]))),
    }  # fmt: skip
    observable = Z(3) * X(4) * Z(5) if rng.random() < 0.5 else distant(length, rng, 2, (X, Z))[0]
    return built(qt.qubits(length), parameters, theta, observable)


def decoupled(length, rng):
    """Halves that nothing couples, one of them with a multiplet or with its mirror's levels."""
    cut = length // 2
    parameters = {"J": [dot(j, j + 1) for j in range(length - 1)], **fields(length, X, Z)}
    theta = {name: np.zeros(len(operators)) for name, operators in parameters.items()}
    theta["J"] = rng.uniform(0.8, 1.2, length - 1)
    theta["J"][cut - 1] = 0.0
    theta["z"][: cut + int(rng.integers(length - cut))] = float(rng.choice([0.0, 1e-4, 0.3]))
    theta["x"][cut:] = rng.uniform(0.1, 0.5)
    return built(qt.qubits(length), parameters, theta, local(length, rng))


def wells(length, rng):
    """Antiferromagnets in a uniform and a staggered field, near where the magnet tips over."""
    parameters = {
        "J": [Z(j) * Z(j + 1) for j in range(length - 1)], "f": [-Z(j) for j in range(length)],
        "x": [-X(j) for j in range(length)],
    }  # fmt: skip
    theta = {
        "J": np.ones(length - 1), "f": float(rng.uniform(0.9, 2.1)) + 0.01 * (-1.0) ** np.arange(length),
        "x": np.full(length, float(rng.choice([0.02, 0.1, 0.4]))),
    }  # fmt: skip
    return built(qt.qubits(length), parameters, theta, local(length, rng, (X, Z)))


def zeros(length, rng):
    """Most couplings zero, some sites with nothing at all but a field."""
    parameters = {
        "J": [Z(i) * Z(j) for i, j in pairs(length)], "K": [X(i) * Y(j) for i, j in pairs(length)],
        **fields(length, X, Y, Z),
    }  # fmt: skip
    theta = {name: np.zeros(len(operators)) for name, operators in parameters.items()}
    theta["z"] = rng.uniform(0.3, 1.0, length) * rng.choice([-1, 1], length)
    for name in ("J", "K"):
        theta[name][rng.choice(len(theta[name]), 3)] = rng.normal(size=3)
    return built(qt.qubits(length), parameters, theta, distant(length, rng)[0])


def extremum(length, rng):
    """Observables at the end of their spectrum, or to second order there."""
    product, _ = distant(length, rng, kinds=(X,))
    parameters = {"h": [-X(j) for j in range(length)], "J": [-Z(j) * Z(j + 1) for j in range(length - 1)]}
    theta = {"h": rng.uniform(0.8, 1.2, length), "J": np.full(length - 1, float(rng.choice([0.0, 1e-6, 1e-3])))}
    loss = qt.Expectation(product)
    return built(qt.qubits(length), parameters, theta, 2.5 * loss if rng.random() < 0.5 else loss)


def tunnelling(length, rng):
    """Ferromagnets whose two levels lie 1e-5 to 1e-3 apart by tunnelling, odd and even observables."""
    parameters = {"h": [-X(j) for j in range(length)], "J": [-Z(j) * Z(j + 1) for j in range(length - 1)]}
    gap = 10 ** rng.uniform(-5, -3)
    h = (gap / 2) ** (1 / length)  # of an open Ising chain deep in its ordered phase
    theta = {"h": np.full(length, h), "J": np.ones(length - 1)}
    observable = [Z(length // 2), Z(0) * Z(length - 1), X(2)][rng.integers(3)]
    return built(qt.qubits(length), parameters, theta, observable)


def dzyaloshinskii_moriya(length, rng):
    """Heisenberg and XY chains with complex couplings, in any fields."""
    twist = [X(j) * Y(j + 1) - Y(j) * X(j + 1) for j in range(length - 1)]
    parameters = {
        "J": [X(j) * X(j + 1) + Y(j) * Y(j + 1) for j in range(length - 1)], "D": twist,
        "zz": [Z(j) * Z(j + 1) for j in range(length - 1)], **fields(length, X, Z),
    }  # fmt: skip
    theta = {
        "J": rng.uniform(0.5, 1.5, length - 1), "D": rng.normal(size=length - 1),
        "zz": np.full(length - 1, float(rng.choice([0.0, 1.0]))), "x": np.zeros(length),
        "z": np.full(length, float(rng.choice([0.0, 0.1, 1.0]))),
    }  # fmt: skip
    return built(qt.qubits(length), parameters, theta, local(length, rng))


def sensors(length, rng):
    """A long-range chain that two sensor qubits listen to, at their output or far from it."""
    kinds = [Z(i) * Z(j) for i, j in pairs(length)] + [X(i) * X(j) for i, j in pairs(length)]
    distances = np.array([j - i for i, j in pairs(length)])
    theta = {
        "J": np.concatenate([1.0 / distances ** rng.uniform(0.5, 3), rng.choice([0.0, 0.3]) / distances**3]),
        "x": rng.uniform(0.3, 1.0, length), "z": np.zeros(length),
    }  # fmt: skip
    theta["x"][[0, -1]] = float(rng.choice([1e-3, 0.05, 0.3]))  # the sensors' own
    theta["z"][[0, -1]] = rng.uniform(0.0, 0.3, 2)
    loss = qt.MeanSquaredError([Z(0), Z(length - 1)], rng.uniform(-1, 1, 2))
    return built(qt.qubits(length), {"J": kinds, **fields(length, X, Z)}, theta, loss)


def ladders(length, rng):
    """Frustrated triangles: XY and Heisenberg ladders with a chiral term."""
    length -= length % 2
    turns = ((X, Y, Z), (Y, Z, X), (Z, X, Y))
    chiral = [
        sum(a(j) * b(j + 1) * c(j + 2) - b(j) * a(j + 1) * c(j + 2) for a, b, c in turns) for j in range(length - 2)
    ]
    parameters = {
        "J1": [dot(j, j + 1) for j in range(length - 1)], "J2": [dot(j, j + 2) for j in range(length - 2)], "c": chiral,
        "h": [Z(j) for j in range(length)],
    }  # fmt: skip
    theta = {
        "J1": rng.uniform(0.7, 1.3, length - 1), "J2": rng.uniform(0.4, 1.2, length - 2),
        "c": np.full(length - 2, float(rng.choice([0.0, 0.1]))), "h": np.full(length, float(rng.choice([0.0, 0.05]))),
    }  # fmt: skip
    return built(qt.qubits(length), parameters, theta, distant(length, rng, 2)[0])


def logarithm(length, rng):
    """Minus the logarithm of a probability, down to faint ones, of chains with domain walls."""
    parameters = {
        "h": [-X(j) for j in range(length)], "J": [Z(j) * Z(j + 1) for j in range(length - 1)],
        "z": [Z(j) for j in range(length)],
    }  # fmt: skip
    theta = {
        "h": np.full(length, float(rng.choice([0.1, 0.5, 1.0]))), "J": rng.choice([-1.0, 1.0], length - 1),
        "z": rng.uniform(0.1, 0.5, length),
    }  # fmt: skip
    probability = 0.25 * (1 + Z(1)) * (1 + Z(length - 2))
    loss = qt.FunctionLoss([probability], lambda p: float(-np.log(p[0])), lambda p: -1 / p)
    return built(qt.qubits(length), parameters, theta, loss)


HELD_OUT = (
    rydberg, majumdar_ghosh, free_edges, decoupled, wells, zeros, extremum, tunnelling, dzyaloshinskii_moriya, sensors,
    ladders, logarithm,
)  # fmt: skip
