"""Models of platforms against Kronecker products, dense perturbation theory, published numbers and exact laws."""

from functools import cache, reduce
from math import cos, pi

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import Number, Sz, X, Z
from qep_tn.models import lattice

PAULI_X, PAULI_Y, PAULI_Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
DESTROY = np.diag(np.sqrt([1.0, 2.0, 3.0]), 1)  # four levels
CREATE, NUMBER = DESTROY.T, np.diag([0.0, 1.0, 2.0, 3.0])
EXCITED = np.diag([0.0, 1.0])  # |1><1| of a qubit


def product(length, factors):
    """A product of one-site matrices, {site: matrix}, on `length` sites; site 0 is the most significant."""
    d = len(next(iter(factors.values())))
    return reduce(np.kron, [factors.get(j, np.eye(d)) for j in range(length)])


def dot(length, i, j):
    return sum(product(length, {i: s, j: s}) for s in (PAULI_X, PAULI_Y, PAULI_Z)) / 4


def hop(length, i, j, up=CREATE, down=DESTROY):
    return product(length, {i: up, j: down}) + product(length, {i: down, j: up})


def pairs(length):
    return [(i, j) for i in range(length) for j in range(i + 1, length)]


def places(fields, L):
    """Terms n (n - 1) / 2 of four levels on each of L sites, or others, in the order of `fields`."""
    return [product(L, {j: fields}) for j in range(L)]


RING = (0, 2, 3, 1)  # a ring of four, folded: where its sites 0, 1, 2, 3 stand
ZIGZAG = np.array([[0.0, 0.0], [0.6, 0.9], [1.3, 0.1], [2.0, 1.1], [2.4, 0.2]])


def kitaev_terms(rungs, column, periodic):
    """Terms of the strip, its columns standing where `column` says."""
    N = 2 * rungs
    found = {"J_x": [], "J_y": [], "J_z": [], "h": []}
    for c in range(rungs):
        for row in range(2):
            here = 2 * column[c] + row
            found["h"].append(sum(product(N, {here: s}) for s in (PAULI_X, PAULI_Y, PAULI_Z)))
            if periodic or c < rungs - 1:
                there = 2 * column[(c + 1) % rungs] + row
                name, s = ("J_x", PAULI_X) if (c + row) % 2 == 0 else ("J_y", PAULI_Y)
                found[name].append(product(N, {here: s, there: s}))
        found["J_z"].append(product(N, {2 * column[c]: PAULI_Z, 2 * column[c] + 1: PAULI_Z}))
    return found


def ladder_terms(rungs, column, periodic):
    N = 2 * rungs
    ends = range(rungs if periodic else rungs - 1)
    legs = [(2 * column[c] + row, 2 * column[(c + 1) % rungs] + row) for c in ends for row in range(2)]
    rung = [(2 * column[c], 2 * column[c] + 1) for c in range(rungs)]
    return {"J_leg": [dot(N, i, j) for i, j in legs], "J_rung": [dot(N, i, j) for i, j in rung]}


def rydberg_terms(points, cutoff):
    L = len(points)
    near = [(i, j) for i, j in pairs(L) if np.linalg.norm(points[i] - points[j]) <= cutoff]
    interactions = [product(L, {i: EXCITED, j: EXCITED}) / np.linalg.norm(points[i] - points[j]) ** 6 for i, j in near]
    return {
        "Omega": [m / 2 for m in places(PAULI_X, L)], "Delta": [-m for m in places(EXCITED, L)], "C6": interactions,
    }  # fmt: skip


def transmon_terms(L, drive):
    terms = {
        "frequency": places(NUMBER, L), "anharmonicity": places(NUMBER @ (NUMBER - np.eye(4)) / 2, L),
        "coupling": [hop(L, j, j + 1) for j in range(L - 1)],
    }  # fmt: skip
    return {**terms, "drive": places((CREATE + DESTROY) / 2, L)} if drive else terms


def boson_terms(L, order, periodic):
    ends = range(L if periodic else L - 1)
    on_site = NUMBER @ (NUMBER - np.eye(4)) / 2
    return {
        "t": [-hop(L, order[j], order[(j + 1) % L]) for j in ends],
        "U": [product(L, {j: on_site}) for j in order],
        "mu": [-product(L, {j: NUMBER}) for j in order],
    }


def qubit_transmon_terms(L):
    raising = np.array([[0.0, 0.0], [1.0, 0.0]])  # |1><0|
    return {
        "frequency": places(EXCITED, L),
        "coupling": [hop(L, j, j + 1, raising, raising.T) for j in range(L - 1)],
        "drive": places(PAULI_X / 2, L),
    }


# name -> (model, its terms in order, one a coupling, scale of each parameter, observable)
CASES = {
    "ions, Ising": (
        lambda local: qt.models.ion_chain(6, alpha=1.3, local=local),
        lambda: {
            "J": [product(6, {i: PAULI_X, j: PAULI_X}) / (j - i) ** 1.3 for i, j in pairs(6)],
            "B": places(PAULI_Z, 6),
        },
        {"J": 0.7, "B": 1.1}, X(1) * X(4),
    ),
    "ions, XY": (
        lambda local: qt.models.ion_chain(5, alpha=0.8, interaction="xy", local=local),
        lambda: {
            "J": [
                (product(5, {i: PAULI_X, j: PAULI_X}) + product(5, {i: PAULI_Y, j: PAULI_Y})) / 2 / (j - i) ** 0.8
                for i, j in pairs(5)
            ],
            "B": places(PAULI_Z, 5),
        },
        {"J": 1.0, "B": 0.1}, Z(1) * Z(3),
    ),
    "transmons": (
        lambda local: qt.models.transmon_array(4, levels=4, local=local),
        lambda: transmon_terms(4, drive=False),
        {"frequency": 0.05, "anharmonicity": 0.3, "coupling": -0.08}, Number(1) * Number(2),
    ),
    "driven transmons": (
        lambda local: qt.models.transmon_array(3, levels=4, local=local, drive=True),
        lambda: transmon_terms(3, drive=True),
        {"frequency": 1.0, "anharmonicity": -0.2, "coupling": 0.1, "drive": 0.4}, Number(0) * Number(1),
    ),
    "transmons as qubits": (
        lambda local: qt.models.transmon_array(5, levels=2, local=local, drive=True),
        lambda: qubit_transmon_terms(5),
        {"frequency": 0.5, "coupling": 0.3, "drive": 0.4}, Number(0) * Number(3),
    ),
    "atoms": (
        lambda local: qt.models.rydberg_array(positions=ZIGZAG, cutoff=1.6, local=local),
        lambda: rydberg_terms(ZIGZAG, 1.6),
        {"Omega": 1.0, "Delta": 0.9, "C6": 1.4}, Number(1) * Number(3),
    ),
    "bosons": (
        lambda local: qt.models.bose_hubbard(4, cutoff=3, local=local),
        lambda: boson_terms(4, (0, 1, 2, 3), periodic=False),
        {"t": 0.3, "U": 1.0, "mu": 0.45}, Number(1) * Number(3),
    ),
    "bosons on a ring": (
        lambda local: qt.models.bose_hubbard(4, cutoff=3, local=local, periodic=True),
        lambda: boson_terms(4, RING, periodic=True),
        {"t": 0.3, "U": 1.0, "mu": 0.45}, Number(1) * Number(3),
    ),
    "Kitaev strip": (
        lambda local: qt.models.kitaev_ladder(3, local=local),
        lambda: kitaev_terms(3, (0, 1, 2), periodic=False),
        {"J_x": 0.4, "J_y": 0.5, "J_z": 0.9, "h": 0.3}, qt.models.kitaev_fluxes(3)[0],
    ),
    "periodic Kitaev strip": (
        lambda local: qt.models.kitaev_ladder(4, local=local, periodic=True),
        lambda: kitaev_terms(4, RING, periodic=True),
        {"J_x": 0.4, "J_y": 0.5, "J_z": 0.9, "h": 0.3}, qt.models.kitaev_fluxes(4, periodic=True)[1],
    ),
    "Heisenberg ladder": (
        lambda local: qt.models.heisenberg_ladder(4, local=local),
        lambda: ladder_terms(4, (0, 1, 2, 3), periodic=False),
        {"J_leg": 1.0, "J_rung": 0.8}, Sz(1) * Sz(5),
    ),
    "Heisenberg ring of rungs": (
        lambda local: qt.models.heisenberg_ladder(4, local=local, periodic=True),
        lambda: ladder_terms(4, RING, periodic=True),
        {"J_leg": 1.0, "J_rung": 0.8}, Sz(1) * Sz(5),
    ),
    "J1-J2": (
        lambda local: qt.models.j1_j2_chain(8, local=local),
        lambda: {
            "J_1": [dot(8, j, j + 1) for j in range(7)], "J_2": [dot(8, j, j + 2) for j in range(6)],
        },
        {"J_1": 1.0, "J_2": 0.3}, Sz(1) * Sz(5),
    ),
}  # fmt: skip


def matrix_of(operator, sites):
    """The matrix of a sum of products of X, Y, Z, Number and Sz, one of them a site."""
    spins = {"X": PAULI_X, "Y": PAULI_Y, "Z": PAULI_Z, "Sz": PAULI_Z / 2, "Number": EXCITED}
    named = spins if sites[0] == qt.qubit() else {"Number": NUMBER}
    return sum(
        c * product(len(sites), {j: named[factor] for j, (factor,) in factors}) for factors, c in operator.terms.items()
    )


@cache
def dense(name):
    """(H, random theta, its matrix as a sum of Kronecker products, the matrix of each coupling) of a case."""
    model, terms, scales, _ = CASES[name]
    rng = np.random.default_rng(list(CASES).index(name))
    matrices = terms()
    theta = {key: scales[key] * rng.uniform(0.8, 1.2, len(found)) for key, found in matrices.items()}
    flat = [m for found in matrices.values() for m in found]
    total = sum(g * m for g, m in zip(np.concatenate(list(theta.values())), flat, strict=True))
    return model(True), theta, total, flat


def perturbation_theory(matrix, couplings, observable):
    """Ground energy and d<observable>/d theta_k = 2 Re sum_n <0|A_k|n><n|O|0> / (E_0 - E_n)."""
    energies, states = np.linalg.eigh(matrix)
    assert energies[1] - energies[0] > 1e-3  # else there is no derivative
    ground, others = states[:, 0], states[:, 1:]
    response = others @ ((others.conj().T @ (observable @ ground)) / (energies[0] - energies[1:]))
    return energies[0], np.array([2 * np.vdot(a @ ground, response).real for a in couplings])


@pytest.mark.parametrize("name", CASES)
def test_each_coupling_multiplies_its_own_term(name):
    H, theta, matrix, _ = dense(name)
    assert abs(matrix - matrix.conj().T).max() < 1e-13
    np.testing.assert_allclose(H.to_sparse(theta).toarray(), matrix, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_a_uniform_coupling_multiplies_the_sum_of_its_terms(name):
    model, terms, scales, _ = CASES[name]
    by_hand = sum(scales[key] * sum(found) for key, found in terms().items())
    np.testing.assert_allclose(model(False).to_sparse(scales).toarray(), by_hand, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_energy_and_gradient_are_those_of_perturbation_theory(name):
    H, theta, matrix, couplings = dense(name)
    observable = CASES[name][-1]
    energy, expected = perturbation_theory(matrix, couplings, matrix_of(observable, H.sites))
    g = qt.gradient(H, theta, qt.Expectation(observable), solver=qt.ExactDiagonalization(), rtol=1e-7)
    assert g.free.energy == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(H.flatten(g.gradient), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        *((name, qt.NumbaDMRG()) for name in CASES),
        *((name, qt.TenpyDMRG()) for name in ("ions, Ising", "transmons", "atoms", "Kitaev strip")),
        *((name, qt.QuimbDMRG()) for name in ("transmons", "atoms")),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_dmrg_finds_the_exact_energy(name, solver):
    H, theta, matrix, _ = dense(name)
    assert solver.ground_state(H, theta).energy == pytest.approx(np.linalg.eigvalsh(matrix)[0], abs=1e-8)


@pytest.mark.parametrize("name", ["ions, Ising", "driven transmons", "periodic Kitaev strip"])
def test_gradient_by_matrix_product_states_is_that_of_perturbation_theory(name):
    H, theta, matrix, couplings = dense(name)
    observable = CASES[name][-1]
    _, expected = perturbation_theory(matrix, couplings, matrix_of(observable, H.sites))
    g = qt.gradient(H, theta, qt.Expectation(observable), solver=qt.NumbaDMRG(), rtol=1e-6)
    np.testing.assert_allclose(H.flatten(g.gradient), expected, atol=1e-6)
    assert g.trustworthy


# --- lattices


@pytest.mark.parametrize("length", [3, 4, 7, 10])
def test_a_folded_ring_has_all_its_bonds_and_short_ones(length):
    ring = lattice.chain(length, periodic=True)
    assert sorted(ring.sites) == list(range(length))
    assert max(abs(i - j) for i, j in ring.bonds["chain"]) == 2
    assert [i for i, _ in ring.bonds["chain"]] == ring.sites.tolist()
    degree = np.bincount(np.ravel(ring.bonds["chain"]), minlength=length)
    assert (degree == 2).all()


@pytest.mark.parametrize("periodic", [False, True])
def test_neighbours_are_one_lattice_constant_apart(periodic):
    for made in (lattice.chain(9, periodic), lattice.ladder(6, periodic)):
        for i, j in (bond for bonds in made.bonds.values() for bond in bonds):
            assert np.linalg.norm(made.positions[i] - made.positions[j]) == pytest.approx(1)
    assert max(abs(i - j) for i, j in lattice.ladder(6, periodic).bonds["leg"]) == (4 if periodic else 2)


# --- ions


def test_ions_stand_where_james_has_them():
    # James (1998), eqs. 6: (1/4)^(1/3), (5/4)^(1/3)
    np.testing.assert_allclose(qt.models.ion_positions(2), [-0.62996, 0.62996], atol=1e-5)
    np.testing.assert_allclose(qt.models.ion_positions(3), [-1.0772, 0, 1.0772], atol=1e-4)


@pytest.mark.parametrize("ions", [1, 2, 5, 50, 100])
def test_ions_rest_and_the_virial_theorem_holds(ions):
    u = qt.models.ion_positions(ions)
    d = u[:, None] - u
    np.fill_diagonal(d, np.inf)
    np.testing.assert_allclose(u, (np.sign(d) / d**2).sum(axis=1), atol=1e-11)
    assert (u**2).sum() == pytest.approx((1 / abs(d)).sum() / 2)  # 2 x trap = Coulomb energy: sum u F = 0


@pytest.mark.parametrize("ions", [2, 6, 20])
def test_transverse_modes_obey_their_sum_rule(ions):
    axial, transverse = 0.2, 5.0
    frequencies, vectors = qt.models.transverse_modes(ions, axial, transverse)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(ions), atol=1e-12)
    # of the centre of mass, and of the tilt (James 1998: the axial eigenvalues 1 and 3)
    np.testing.assert_allclose(frequencies[:2], [transverse, np.sqrt(transverse**2 - axial**2)], rtol=1e-12)
    u = qt.models.ion_positions(ions)
    cubes = sum(1 / abs(u[i] - u[j]) ** 3 for i, j in pairs(ions))
    # the trace of the modes' matrix
    assert (frequencies**2).sum() == pytest.approx(ions * transverse**2 - 2 * axial**2 * cubes, rel=1e-12)


def test_ion_couplings_by_the_sum_over_modes_and_their_limits():
    frequencies, vectors = qt.models.transverse_modes(4, 0.3, 4.8)
    rabi = np.array([0.5, 0.6, 0.7, 0.4])
    J = qt.models.ion_couplings(4, 0.3, 4.8, 0.05, rabi, 0.0185)
    for i, j in pairs(4):
        modes = sum(vectors[i, m] * vectors[j, m] / (4.85**2 - frequencies[m] ** 2) for m in range(4))
        assert J[i, j] == J[j, i] == pytest.approx(rabi[i] * rabi[j] * 0.0185 * modes, rel=1e-12)
    assert not np.diag(J).any()
    # near above the centre of mass all ions feel one mode: all couplings are equal
    near = qt.models.ion_couplings(10, 0.3, 4.8, 1e-6, 0.5, 0.0185)[np.triu_indices(10, 1)]
    assert near.std() < 1e-3 * near.mean()
    # far from all modes they are dipoles: J_ij |u_i - u_j|^3 is one number
    far = qt.models.ion_couplings(10, 0.01, 4.8, 500.0, 0.5, 0.0185)
    u = qt.models.ion_positions(10)
    dipoles = [far[i, j] * abs(u[i] - u[j]) ** 3 for i, j in pairs(10)]
    assert np.ptp(dipoles) < 1e-2 * np.mean(dipoles)


def test_trapped_ions_have_the_couplings_of_their_trap():
    K = qt.models.ion_couplings(4, 300.0, 4800.0, 50.0, 600.0, 18.5)
    H = qt.models.trapped_ions(4, 300.0, 4800.0, 50.0, 600.0)
    by_hand = sum(K[i, j] * product(4, {i: PAULI_X, j: PAULI_X}) for i, j in pairs(4)) + 0.3 * sum(places(PAULI_Z, 4))
    np.testing.assert_allclose(H.to_sparse({"J": 1.0, "B": 0.3}).toarray(), by_hand, atol=1e-13)


def test_steep_couplings_are_those_of_neighbours():
    steep = qt.models.ion_chain(6, alpha=60.0).to_sparse({"J": 0.7, "B": 0.4})
    neighbours = sum(0.7 * product(6, {j: PAULI_X, j + 1: PAULI_X}) for j in range(5)) + 0.4 * sum(places(PAULI_Z, 6))
    assert abs(steep - neighbours).max() < 1e-15


def test_the_slope_along_alpha_is_a_finite_difference():
    theta = {"J": np.random.default_rng(3).uniform(0.3, 0.6, 15), "B": np.ones(6)}

    def value(alpha):
        return qt.ExactDiagonalization().ground_state(qt.models.ion_chain(6, alpha, local=True), theta).expectation(
            [X(1) * X(3)]
        )[0]  # fmt: skip

    H = qt.models.ion_chain(6, 1.4, local=True)
    g = qt.gradient(H, theta, qt.Expectation(X(1) * X(3)), solver=qt.ExactDiagonalization(), rtol=1e-7)
    slope = qt.models.ion_chain_alpha_gradient(theta["J"], g.gradient["J"])
    assert slope == pytest.approx((value(1.401) - value(1.399)) / 0.002, abs=1e-6)


# --- transmons and bosons


def test_transmons_are_bosons_that_attract():
    transmons = qt.models.transmon_array(3, levels=4).to_sparse({
        "frequency": -0.4, "anharmonicity": 0.9, "coupling": -0.2,
    })  # fmt: skip
    bosons = qt.models.bose_hubbard(3, cutoff=3).to_sparse({"t": 0.2, "U": 0.9, "mu": 0.4})
    assert abs(transmons - bosons).max() < 1e-14


def test_one_photon_hops_as_the_tight_binding_chain():
    L, theta = 6, {"frequency": -1.0, "coupling": 0.1}
    matrix = qt.models.transmon_array(L, levels=2).to_sparse(theta).toarray()
    one = [2**j for j in range(L)]
    energies = np.linalg.eigvalsh(matrix[np.ix_(one, one)])
    np.testing.assert_allclose(energies, [-1 - 0.2 * cos(pi * k / (L + 1)) for k in range(1, L + 1)], atol=1e-13)


def test_bosons_without_repulsion_condense_with_the_energy_of_one_for_each():
    # two bosons in the lowest orbital of an open chain of four, none lost to a cutoff of three
    matrix = qt.models.bose_hubbard(4, cutoff=3).to_sparse({"t": 1.0, "U": 0.0, "mu": 0.0}).toarray()
    two = [n for n in range(4**4) if sum(n // 4**k % 4 for k in range(4)) == 2]
    assert np.linalg.eigvalsh(matrix[np.ix_(two, two)])[0] == pytest.approx(-4 * cos(pi / 5), abs=1e-12)


# --- atoms


def test_without_disorder_atoms_stand_in_order_and_with_it_where_the_seed_has_them():
    theta = {"Omega": 1.0, "Delta": 0.4, "C6": 3.0}
    regular = qt.models.rydberg_array(5, spacing=1.2).to_sparse(theta)
    given = qt.models.rydberg_array(positions=1.2 * np.arange(5), disorder=0.0, seed=8).to_sparse(theta)
    assert abs(regular - given).max() < 1e-14
    moved = [qt.models.rydberg_array(5, spacing=1.2, disorder=0.05, seed=s).to_sparse(theta) for s in (1, 1, 2)]
    assert abs(moved[0] - moved[1]).max() == 0
    assert abs(moved[0] - moved[2]).max() > 1e-3
    assert abs(moved[0] - regular).max() > 1e-3


def test_the_blockade_radius_has_either_convention():
    assert qt.models.blockade_radius(862690.0, 2.5) == pytest.approx((862690 / 2.5) ** (1 / 6))
    assert qt.models.blockade_radius(64.0, 0.6, 0.8) == pytest.approx(2.0)


@pytest.mark.parametrize("period", [2, 3])
def test_orders_of_a_perfect_density_wave(period):
    L = 6 * period
    for shift in range(period):
        bits = np.array([(j - shift) % period == 0 for j in range(L)], float)

        def of(operator, bits=bits):
            return sum(c * np.prod([bits[j] for j, _ in p]) for p, c in operator.terms.items())

        assert of(qt.models.density_wave(L, period)) == pytest.approx(cos(2 * pi * shift / period) / period)
        assert of(qt.models.structure_factor(L, period)) == pytest.approx(period**-2)


def test_blockaded_atoms_order_where_detuned():
    H = qt.models.rydberg_array(9)
    orders = [
        qt.ExactDiagonalization().ground_state(H, {"Omega": 1.0, "Delta": d, "C6": 1.5**6}).expectation(
            [qt.models.density_wave(9, 2)]
        )[0]
        for d in (-1.0, 3.0)
    ]  # fmt: skip
    assert abs(orders[0]) < 0.05
    assert orders[1] > 0.45


# --- ladders


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("plaquette", ["square", "hexagon"])
def test_fluxes_commute_with_the_strip_without_field_and_square_to_one(periodic, plaquette):
    H = qt.models.kitaev_ladder(4, periodic=periodic)
    matrix = H.to_sparse({"J_x": 0.3, "J_y": 0.7, "J_z": 1.1, "h": 0.0})
    fluxes = qt.models.kitaev_fluxes(4, periodic, plaquette)
    assert len(fluxes) == {("square", False): 3, ("hexagon", False): 2}.get((plaquette, periodic), 4)
    for flux in fluxes:
        W = qt.Hamiltonian(H.sites, {"W": flux}).to_sparse({"W": 1.0})
        assert abs(W @ matrix - matrix @ W).max() < 1e-13
        assert abs(W @ W - np.eye(2**8)).max() < 1e-13
        assert len(flux.support) == {"square": 4, "hexagon": 6}[plaquette]


def test_the_published_strip_has_its_published_levels_and_flux():
    # Wanjura and Marquardt (2025), Kitaev_2x8_phaseExploration.ipynb, and phase_diagram_magnetic_field_0p1.csv
    H = qt.models.kitaev_ladder(8, periodic=True)
    state = qt.ExactDiagonalization().ground_state(H, {"J_x": 1.0, "J_y": 1.0, "J_z": 1.0, "h": 0.0})
    assert state.energy == pytest.approx(-13.44113247, abs=1e-8)
    assert state.energy + state.gap == pytest.approx(-13.40033919, abs=1e-8)
    flux = qt.models.kitaev_fluxes(8, periodic=True)[1]
    assert state.expectation([flux])[0] == pytest.approx(1, abs=1e-9)
    state = qt.ExactDiagonalization().ground_state(H, {"J_x": 0.25, "J_y": 0.25, "J_z": 0.5, "h": 0.1})
    assert state.expectation([flux])[0] == pytest.approx(0.9299675755069638, abs=1e-9)


@pytest.mark.parametrize("J", [(0.5, 0.3, 0.2), (0.2, 0.3, 0.5), (0.7, 0.2, 0.1), (0.3, 0.3, 0.4)])
def test_kitaev_strip_has_the_fermions_that_its_phases_are_told_by(J):
    """Lowest level and its sector on six rungs: a gap closes at |J_x - J_y| = J_z alone, unlike on the lattice."""
    x, y, z = J
    H, squares = qt.models.kitaev_ladder(6, periodic=True), qt.models.kitaev_fluxes(6, True, "square")
    state = qt.ExactDiagonalization().ground_state(H, {"J_x": x, "J_y": y, "J_z": z, "h": 0.0})
    k = np.pi * np.arange(3) / 3
    real, imaginary = (x + y) * np.cos(k), abs((x - y) * np.sin(k))
    modes = [np.hypot(real, imaginary + sign * z) for sign in (1, -1)]
    assert state.energy == pytest.approx(-np.sum(modes), abs=1e-9)
    assert state.expectation(squares) == pytest.approx(np.ones(6), abs=1e-6)
    assert qt.models.honeycomb_phase(x, y, z) == (0 if max(J) > 0.5 else 1)


def test_honeycomb_phases_are_told_by_magnitudes():
    assert qt.models.honeycomb_phase([0.6, 0.1, -0.2, 1.0], 0.3, [0.1, 0.7, 0.2, 0.69]).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("length", [8, 10])
def test_majumdar_and_ghosh_have_singlets(length):
    state = qt.ExactDiagonalization().ground_state(qt.models.j1_j2_chain(length), {"J_1": 1.3, "J_2": 0.65})
    assert state.energy == pytest.approx(-3 / 8 * 1.3 * length, abs=1e-10)
    assert state.expectation([Sz(2) * Sz(3)])[0] == pytest.approx(-1 / 4, abs=1e-9)


def test_majumdar_and_ghosh_at_fifty_sites():
    state = qt.NumbaDMRG().ground_state(qt.models.j1_j2_chain(50), {"J_1": 1.0, "J_2": 0.5})
    assert state.energy == pytest.approx(-3 / 8 * 50, abs=1e-8)


def test_strong_rungs_are_singlets():
    theta = {"J_leg": 0.01, "J_rung": 1.0}
    energy = qt.ExactDiagonalization().ground_state(qt.models.heisenberg_ladder(5), theta).energy
    assert energy == pytest.approx(-0.75 * 5, abs=1e-3)  # nothing at first order in the legs


# --- what is refused, in one line


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("ion_chain", {"L": 1}, "an open chain of this model needs a whole number of sites, 2 or more"),
        ("ion_chain", {"L": 5, "alpha": -1.0}, "alpha is -1.0; it must be a number, 0 or more"),
        ("ion_chain", {"L": 5, "interaction": "zz"}, 'interaction is \'zz\'; it is "ising" or "xy"'),
        ("ion_chain", {"L": 3, "couplings": [[0.0, 1.0], [1.0, 0.0]]}, "symmetric matrix of finite numbers, 3 x 3"),
        ("trapped_ions", {"L": 50, "axial": 1.0, "transverse": 5.0, "detuning": 0.1, "rabi": 1.0}, "buckle"),
        ("trapped_ions", {"L": 5, "axial": 0.2, "transverse": 5.0, "detuning": 0.0, "rabi": 1.0}, "on a mode"),
        ("trapped_ions", {"L": 5, "axial": 0.0, "transverse": 5.0, "detuning": 1.0, "rabi": 1.0}, "must be positive"),
        ("transmon_array", {"L": 4, "levels": 1}, "levels is 1; .* 2 or more"),
        ("rydberg_array", {}, "give either L atoms in a row, or positions"),
        ("rydberg_array", {"L": 3, "positions": [0.0, 1.0]}, "give either L atoms in a row, or positions"),
        ("rydberg_array", {"L": True}, "needs a whole number of atoms, 2 or more"),
        ("rydberg_array", {"L": 4, "spacing": 0.0}, "spacing is 0.0; it must be positive"),
        ("rydberg_array", {"positions": [0.0, 1.0, 1.0]}, "atoms 1 and 2 stand at one place"),
        ("rydberg_array", {"L": 4, "cutoff": 0.5}, "cutoff = 0.5 is below the least distance, 1"),
        ("rydberg_array", {"L": 4, "disorder": -0.1}, "disorder is -0.1"),
        ("bose_hubbard", {"L": 4, "cutoff": 0}, "cutoff is 0"),
        ("bose_hubbard", {"L": 2, "periodic": True}, "a ring of this model needs"),
        ("kitaev_ladder", {"rungs": 1}, "must be a whole number, 2 or more if open"),
        ("kitaev_ladder", {"rungs": 5, "periodic": True}, "needs an even number of rungs, 4 or more"),
        ("kitaev_fluxes", {"rungs": 2}, "a hexagon spans three rungs"),
        ("heisenberg_ladder", {"rungs": 2, "periodic": True}, "3 or more if closed to a ring"),
        ("j1_j2_chain", {"L": 2}, "3 or more"),
        ("density_wave", {"L": 9, "period": 1}, "period = 1"),
        ("ion_chain", {"L": 4, "alpha": "steep"}, "alpha is 'steep'; it must be a number"),
        ("ion_chain", {"L": 4, "interaction": ["ising"]}, "interaction is"),
        ("ion_chain", {"L": 3, "couplings": 1e-13 * np.triu(np.ones((3, 3)))}, "symmetric matrix of finite numbers"),
        ("rydberg_array", {"L": 2, "spacing": 1e-60}, "atoms stand 1.0e-60 apart; choose another unit"),
        ("blockade_radius", {"C6": -5.0, "Omega": 1.0}, "C6 = -5.0"),
        ("blockade_radius", {"C6": 5.0, "Omega": 0.0}, "there is none without a drive"),
    ],
)
def test_impossible_models_are_refused_in_one_line(model, arguments, says):
    with pytest.raises(ValueError, match=says) as error:
        getattr(qt.models, model)(**arguments)
    assert "\n" not in str(error.value)
