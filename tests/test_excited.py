"""Excited states of matrix product states against dense algebra, free fermions and one another."""

import numpy as np
import pytest
from chains import PHASES, random_cluster_ising, random_long_range, random_three_body, spin_one

import qep_tn as qt
from qep_tn import Create, Destroy, Number, X, Y, Z
from qep_tn.states.ground_state import SolveStatus

SOLVER = qt.NumbaDMRG()
# twice the energy tolerance times coefficients, and what truncation at 1e-7 leaves
EXACT = 1e-9


def bose_hubbard(length, rng):
    """Bosons that hop between unequal sites."""
    hop = [Create(j) * Destroy(j + 1) + Create(j + 1) * Destroy(j) for j in range(length - 1)]
    H = qt.Hamiltonian(
        qt.bosons(length, 2),
        {"t": [-h for h in hop], "mu": [-Number(j) for j in range(length)]},
        fixed=0.5 * sum(Number(j) * Number(j) for j in range(length)),
    )
    return H, {"t": rng.uniform(0.3, 1.0, length - 1), "mu": rng.uniform(0.3, 1.0, length)}


def chiral(length, rng):
    """A complex Hamiltonian without symmetry: Dzyaloshinskii-Moriya couplings and fields in a plane."""
    twist = [X(j) * Y(j + 1) - Y(j) * X(j + 1) + 0.3 * X(j) * X(j + 1) for j in range(length - 1)]
    fields = [Y(j) + 0.3 * X(j) for j in range(length)]
    H = qt.Hamiltonian(qt.qubits(length), {"D": twist, "h": fields})
    return H, {"D": rng.uniform(0.5, 1.5, length - 1), "h": rng.normal(size=length)}


def heisenberg(length, rng):
    """Multiplets: triplets above a singlet, or a ground state of several."""
    dot = [X(j) * X(j + 1) + Y(j) * Y(j + 1) + Z(j) * Z(j + 1) for j in range(length - 1)]
    return qt.Hamiltonian(qt.qubits(length), {"J": dot}), {"J": rng.uniform(0.5, 1.5, length - 1)}


def ferromagnet(length, rng):
    """Heisenberg's, with length + 1 ground states."""
    H, theta = heisenberg(length, rng)
    return H, {"J": -theta["J"]}


def nearly_classical(length, rng):
    """A random Ising chain in a faint field, where every configuration is nearly an eigenstate."""
    H = qt.Hamiltonian(
        qt.qubits(length),
        {"J": [Z(j) * Z(j + 1) for j in range(length - 1)], "h": [Z(j) for j in range(length)]},
        fixed=0.05 * sum(X(j) for j in range(length)),
    )
    return H, {"J": rng.normal(size=length - 1), "h": 0.1 * rng.normal(size=length)}


FAMILIES = {
    **{phase: lambda rng, phase=phase: random_cluster_ising(phase, 9, rng) for phase in PHASES},
    "three-body": lambda rng: random_three_body(8, rng),
    "all pairs": lambda rng: random_long_range(8, rng),
    "spin 1": lambda rng: spin_one(5, rng),
    "bosons": lambda rng: bose_hubbard(5, rng),
    "chiral": lambda rng: chiral(8, rng),
    "Heisenberg": lambda rng: heisenberg(8, rng),
    "ferromagnet of many": lambda rng: ferromagnet(6, rng),
    "nearly classical": lambda rng: nearly_classical(9, rng),
}


def levels(H, theta, number, solver=SOLVER):
    """The ground state and excited states above it, one after another."""
    found = [solver.ground_state(H, theta)]
    while len(found) < number:
        found.append(solver.excited_state(H, theta, found))
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_lowest_levels_are_those_of_the_matrix(family, seed):
    H, theta = FAMILIES[family](np.random.default_rng(seed))
    exact = np.linalg.eigvalsh(H.to_sparse(theta).toarray())
    found = levels(H, theta, 3)
    for state, energy in zip(found, exact, strict=False):
        assert state.converged, state.message
        assert state.energy == pytest.approx(energy, abs=EXACT)
        assert abs(state.energy_variance) < 1e-9
    vectors = np.array([state.mps.to_dense() for state in found])
    np.testing.assert_allclose(vectors.conj() @ vectors.T, np.eye(3), atol=1e-6)  # truncation at 1e-7


@pytest.mark.parametrize("solver", [qt.ExactDiagonalization(), qt.FreeFermion()], ids=["exact", "free fermions"])
def test_exact_solvers_have_the_levels_of_the_matrix(solver, rng):
    H, theta = random_cluster_ising("near-critical", 9, rng)
    energies, vectors = np.linalg.eigh(H.to_sparse(theta).toarray())
    operators = [X(4), Z(2) * Z(3), Z(1) * X(2) * Z(3), X(1) * X(5)]
    for n, state in enumerate(levels(H, theta, 6, solver)):
        assert state.energy == pytest.approx(energies[n], abs=1e-10)
        values = [np.vdot(v := vectors[:, n], qt.Hamiltonian(H.sites, {"o": o}).to_sparse({"o": 1.0}) @ v).real
                  for o in operators]  # fmt: skip
        np.testing.assert_allclose(state.expectation(operators), values, atol=1e-7)


@pytest.mark.parametrize("point", [(2.5, 1.0, 0.5), (1.2, 1.0, 0.0), (1.0, 1.0, 0.0)])
def test_gap_of_a_long_chain_is_that_of_free_fermions(point):
    """Gapped, where levels above the gap are 1/L^2 apart, and critical, where all are 1/L apart."""
    H = qt.models.cluster_ising(128, local=False)
    theta = dict(zip(("g_x", "g_zz", "g_zxz"), point, strict=True))
    ground, first = levels(H, theta, 2)
    exact = qt.FreeFermion().excited_state(H, theta, [ground])
    assert first.converged
    assert first.energy == pytest.approx(exact.energy, abs=1e-8)
    operators = [X(j) for j in range(0, 128, 9)]
    # levels are 0.01 apart, so that a variance of 1e-9 leaves 3e-3 of the next one at most
    np.testing.assert_allclose(first.expectation(operators), exact.expectation(operators), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_chain_of_64_sites_has_its_lowest_modes(seed):
    rng = np.random.default_rng(seed)
    H, theta = random_cluster_ising("paramagnet", 64, rng)
    theta["g_x"][rng.integers(64)] *= 0.5  # its lowest excitation is bound somewhere
    states = levels(H, theta, 3)
    assert all(state.converged for state in states)
    exact = [state.energy for state in levels(H, theta, 3, qt.FreeFermion())]
    np.testing.assert_allclose([state.energy for state in states], exact, atol=1e-8)


def test_other_magnetisation_is_found_above_a_broken_symmetry():
    """Two states that differ on all sites: no local excitation of one leads to the other."""
    H = qt.models.cluster_ising(48)
    theta = {"g_x": 1.0, "g_zz": 2.8, "g_zxz": 0.2}
    pinned = qt.Hamiltonian(H.sites, H.parameters, fixed=-0.5 * Z(0))
    up = SOLVER.ground_state(H, theta, start=SOLVER.ground_state(pinned, theta))
    assert up.expectation(Z(24)) > 0.9
    down = SOLVER.excited_state(H, theta, [up])
    assert down.converged
    assert down.energy == pytest.approx(up.energy, abs=1e-9)
    assert down.expectation(Z(24)) < -0.9


def test_nearly_degenerate_levels_are_told_apart():
    H = qt.models.cluster_ising(24)
    theta = {"g_x": 1.0, "g_zz": 1.4, "g_zxz": 0.0}
    ground, first = levels(H, theta, 2)
    gap = qt.FreeFermion().ground_state(H, theta).gap
    assert 1e-6 < gap < 1e-3
    assert first.energy - ground.energy == pytest.approx(gap, abs=1e-10)


def test_gap_does_not_depend_on_a_constant_energy(rng):
    H, theta = random_long_range(6, rng)
    ground, first = levels(qt.Hamiltonian(H.sites, H.parameters, fixed=40.0), theta, 2)
    assert first.energy > 30
    assert first.energy - ground.energy == pytest.approx(qt.ExactDiagonalization().ground_state(H, theta).gap, abs=1e-9)


@pytest.mark.parametrize("solver", [qt.TenpyDMRG(cutoff=1e-6), qt.QuimbDMRG(cutoff=1e-6)], ids=["tenpy", "quimb"])
def test_every_dmrg_solver_has_the_same_excited_state(solver, rng):
    H, theta = random_three_body(7, rng)
    _, first = levels(H, theta, 2, solver)
    exact = np.linalg.eigvalsh(H.to_sparse(theta).toarray())
    assert first.converged
    assert first.energy == pytest.approx(exact[1], abs=1e-9)


def test_a_coarser_cutoff_gives_the_gap_as_far_as_it_goes():
    H = qt.models.cluster_ising(64)
    theta = {"g_x": 1.2, "g_zz": 1.0, "g_zxz": 0.0}
    ground = SOLVER.ground_state(H, theta)
    coarse = qt.NumbaDMRG(cutoff=1e-4).excited_state(H, theta, [ground])
    assert coarse.converged
    assert coarse.sweeps <= 6
    gap = qt.FreeFermion().ground_state(H, theta).gap
    assert coarse.energy - ground.energy == pytest.approx(gap, abs=2e-5)  # cutoff squared, times all couplings


def test_a_start_at_the_state_itself_takes_few_sweeps(rng):
    H, theta = random_cluster_ising("paramagnet", 40, rng)
    ground, first = levels(H, theta, 2)
    again = SOLVER.excited_state(H, theta, [ground], start=first)
    assert again.energy == pytest.approx(first.energy, abs=EXACT)
    assert again.sweeps <= first.sweeps


def test_two_threads_change_no_bit(rng):
    H, theta = random_three_body(8, rng)
    ground = SOLVER.ground_state(H, theta)
    one, two = (qt.NumbaDMRG(threads=n).excited_state(H, theta, [ground]) for n in (1, 2))
    assert one.energy == two.energy


def test_what_does_not_fit_its_bond_dimension_says_so():
    H = qt.models.cluster_ising(10)
    theta = {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.6}
    ground = SOLVER.ground_state(H, theta)
    first = qt.NumbaDMRG(max_bond=2, max_sweeps=5).excited_state(H, theta, [ground])
    assert not first.converged
    assert "raise max_" in first.message


def test_what_lies_below_a_false_ground_state_says_so(rng):
    """The second state in the ground state's place: the one above it is then the ground state."""
    H, theta = random_three_body(8, rng)
    ground, second = levels(H, theta, 2)
    found = SOLVER.excited_state(H, theta, [second])
    assert found.energy == pytest.approx(ground.energy, abs=EXACT)
    assert found.status is SolveStatus.NO_EIGENSTATE
    assert "lower than that of a state below" in found.message


def test_states_that_cannot_be_below_are_refused():
    H, theta = qt.models.cluster_ising(4), {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.6}
    exact = qt.ExactDiagonalization().ground_state(H, theta)
    with pytest.raises(ValueError, match="below is StateVector"):
        SOLVER.excited_state(H, theta, [exact])
    with pytest.raises(ValueError, match="below is nothing"):
        SOLVER.excited_state(H, theta, [])
    ground = SOLVER.ground_state(H, theta)
    with pytest.raises(ValueError, match="these sites have 16"):
        SOLVER.excited_state(H, theta, [ground] * 16)
    for solver in (qt.ExactDiagonalization(), qt.FreeFermion()):
        with pytest.raises(ValueError, match="these sites have 16"):
            solver.excited_state(H, theta, [exact] * 16)


def test_all_levels_of_a_small_chain_follow_one_another(rng):
    H, theta = random_cluster_ising("paramagnet", 3, rng)
    exact = np.linalg.eigvalsh(H.to_sparse(theta).toarray())
    for solver in (SOLVER, qt.ExactDiagonalization(), qt.FreeFermion()):
        np.testing.assert_allclose([state.energy for state in levels(H, theta, 8, solver)], exact, atol=1e-9)
