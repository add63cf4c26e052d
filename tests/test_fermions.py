"""Fermions against occupation-number algebra, and against chains that are solved exactly."""

import importlib
import itertools
import re
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from fock_space import FockSpace
from hypothesis import given
from hypothesis import strategies as st

import qep_tn as qt
from qep_tn import C, Cdag, CdagDown, CdagUp, CDown, CUp, F, Number, NumberDown, NumberUp, Sm, Sp, Sx, Sy, Sz, X, Z
from qep_tn.expressions.operators_and_losses import parse_loss, parse_operator
from qep_tn.hamiltonians.hamiltonian import sparse_matrix

SOLVERS = [qt.ExactDiagonalization(), qt.NumbaDMRG(), qt.TenpyDMRG(), qt.QuimbDMRG()]
SPINLESS, SPINFUL = qt.fermions(4), qt.electrons(3)
MODES = {SPINLESS: [(C, Cdag)], SPINFUL: [(CUp, CdagUp), (CDown, CdagDown)]}
ALGEBRA = {sites: FockSpace(sites) for sites in MODES}


def name_of(solver):
    return type(solver).__name__


def modes_of(sites):
    """(annihilator, creator, its matrix) of all modes, in their order."""
    return [
        (c(j), cdag(j), ALGEBRA[sites].annihilator(j, k))
        for j in range(len(sites))
        for k, (c, cdag) in enumerate(MODES[sites])
    ]


def dense(operator, sites):
    return sparse_matrix(operator, sites).toarray()


@pytest.mark.parametrize("sites", MODES, ids=lambda sites: sites[0].name)
def test_operators_are_those_of_occupation_numbers(sites):
    for c, cdag, matrix in modes_of(sites):
        np.testing.assert_array_equal(dense(c, sites), matrix)
        np.testing.assert_array_equal(dense(cdag, sites), matrix.T)
    for j, fock in itertools.product(range(len(sites)), [ALGEBRA[sites]]):
        numbers = [a.T @ a for a in (fock.annihilator(j, k) for k in range(len(MODES[sites])))]
        parity = reduce(np.matmul, [np.eye(len(n)) - 2 * n for n in numbers])
        np.testing.assert_array_equal(dense(Number(j), sites), sum(numbers))
        np.testing.assert_array_equal(dense(F(j), sites), parity)


def test_spins_and_numbers_of_electrons_are_their_bilinears():
    for j in range(3):
        up, down = (ALGEBRA[SPINFUL].annihilator(j, k) for k in range(2))
        expected = {
            NumberUp: up.T @ up, NumberDown: down.T @ down, Sp: up.T @ down, Sm: down.T @ up,
            Sx: (up.T @ down + down.T @ up) / 2, Sy: (up.T @ down - down.T @ up) / 2j,
            Sz: (up.T @ up - down.T @ down) / 2,
        }  # fmt: skip
        for operator, matrix in expected.items():
            np.testing.assert_array_equal(dense(operator(j), SPINFUL), matrix)


@pytest.mark.parametrize("sites", MODES, ids=lambda sites: sites[0].name)
def test_operators_of_different_modes_anticommute_as_operators(sites):
    for (a, adag, _), (b, bdag, _) in itertools.combinations(modes_of(sites), 2):
        for left, right in itertools.product((a, adag), (b, bdag)):
            assert left * right == -right * left
            assert not (left * right + right * left).terms
    for a, adag, _ in modes_of(sites):
        assert not (a * a).terms
        np.testing.assert_array_equal(dense(a * adag + adag * a, sites), np.eye(len(dense(a, sites))))


@st.composite
def products(draw, sites):
    """A product of up to six operators in any order, and its matrix."""
    fock, operators = ALGEBRA[sites], []
    for _ in range(draw(st.integers(1, 6))):
        site = draw(st.integers(0, len(sites) - 1))
        names = ["C", "Cdag", "Number"] if sites is SPINLESS else ["CUp", "CdagUp", "CDown", "CdagDown", "NumberDown"]
        name = draw(st.sampled_from(names))
        operators.append((getattr(qt, name)(site), fock.matrix(name, site)))
    return [operator for operator, _ in operators], [matrix for _, matrix in operators]


@given(st.data(), st.sampled_from(list(MODES)))
def test_products_in_any_order_are_products_of_matrices(data, sites):
    operators, matrices = data.draw(products(sites))
    product, expected = reduce(lambda a, b: a * b, operators), reduce(np.matmul, matrices)
    np.testing.assert_array_equal(dense(product, sites), expected)
    middle = len(operators) // 2  # multiplication is associative
    if middle:
        left, right = (reduce(lambda a, b: a * b, part) for part in (operators[:middle], operators[middle:]))
        assert left * right == product


@given(st.data(), st.sampled_from(list(MODES)))
def test_the_text_of_an_operator_reads_as_the_operator(data, sites):
    (first, _), (second, _) = (data.draw(products(sites)) for _ in range(2))
    operator = 2.0 * reduce(lambda a, b: a * b, first) - 0.5 * reduce(lambda a, b: a * b, second)
    assert parse_operator(repr(operator) if operator.terms else "0") == operator


def test_what_is_written_in_another_order_is_the_same():
    assert C(0) * Cdag(1) == -Cdag(1) * C(0)
    assert Cdag(0) * C(3) * Cdag(2) * C(1) == -Cdag(0) * Cdag(2) * C(3) * C(1)
    assert F(0) * F(0) == qt.Operator({(): 1.0})
    assert F(1) * C(1) == -C(1) * F(1)
    assert CdagUp(2) * CdagDown(2) * CDown(2) * CUp(2) == CdagUp(2) * CUp(2) * CdagDown(2) * CDown(2)
    assert repr(Cdag(0) * C(2) + Cdag(2) * C(0)) == "Cdag(0) * C(2) - C(0) * Cdag(2)"


def test_strings_pass_through_sites_without_fermions():
    sites = (qt.fermion(), qt.qubit(), qt.fermion(), qt.boson(2), qt.electron())
    hop = Cdag(0) * C(2) + Cdag(2) * C(0)
    fermions_alone = FockSpace((qt.fermion(), qt.fermion()))
    a, b = fermions_alone.annihilator(0), fermions_alone.annihilator(1)
    np.testing.assert_array_equal(dense(hop, sites[:1] + sites[2:3] * 2), dense(hop, qt.fermions(3)))
    matrix = dense(hop, sites[:3]).reshape((2,) * 6)
    expected = np.einsum("acbd,xy->axcbyd", (a.T @ b + b.T @ a).reshape((2,) * 4), np.eye(2)).reshape((2,) * 6)
    np.testing.assert_array_equal(matrix, expected)
    H = qt.Hamiltonian(
        sites, {"t": hop, "s": CdagUp(4) * C(2) + Cdag(2) * CUp(4), "h": X(1) * Number(0) + 0.3 * Number(3) + Z(1)}
    )
    theta = {"t": -1.0, "s": 0.7, "h": 0.4}
    energies = [solver.ground_state(H, theta).energy for solver in SOLVERS]
    np.testing.assert_allclose(energies, np.linalg.eigvalsh(H.to_sparse(theta).toarray())[0], atol=1e-8)


@pytest.mark.parametrize(
    ("sites", "operator", "message"),
    [
        (SPINLESS, C(0) + Cdag(0), r"C\(0\) \+ Cdag\(0\) creates or destroys single fermions; pair each with another"),
        (SPINLESS, Cdag(0) * C(1) * Number(2) * Cdag(3) + 1, "single fermions"),
        (SPINLESS, Cdag(0) * C(1), "is not Hermitian"),
        (SPINLESS, Cdag(0) * C(9) + Cdag(9) * C(0), "site 4 is out of range"),
        (SPINFUL, Cdag(0) * C(1) + Cdag(1) * C(0), "site 0: a spinful fermion has no operator 'Cdag'"),
        (qt.qubits(3), Cdag(0) * C(1) + Cdag(1) * C(0), "a qubit has no operator 'Cdag'"),
    ],
)
def test_what_no_hamiltonian_has_is_refused_in_one_line(sites, operator, message):
    with pytest.raises(ValueError, match=message) as caught:
        qt.Hamiltonian(sites, {"a": operator})
    assert "\n" not in str(caught.value)
    H = qt.Hamiltonian(sites, {"mu": sum(Number(j) for j in range(3))})
    with pytest.raises(ValueError, match=message):
        qt.gradient(H, {"mu": 1.0}, qt.Expectation(operator), solver=qt.ExactDiagonalization())


def test_names_of_fermionic_operators_are_taken():
    lowering, parity = np.eye(2, k=1), np.diag([1.0, -1.0])
    with pytest.raises(ValueError, match="C is a fermionic operator everywhere; choose another name, or add"):
        qt.Site("own", {"C": lowering})
    with pytest.raises(ValueError, match="F is the parity of fermions everywhere"):
        qt.Site("own", {"F": lowering})
    with pytest.raises(ValueError, match="Hop changes F"):
        qt.Site("own", {"Hop": lowering, "F": parity})
    with pytest.raises(ValueError, match="CUp keeps F"):
        qt.Site("own", {"CUp": parity, "F": parity})


def test_configurations_read_fermionic_operators_and_bound_their_strings():
    assert parse_operator("sum(Cdag(j) * C(j + 1) for j in range(L))", L=2) == Cdag(0) * C(1) + Cdag(1) * C(2)
    assert parse_loss("abs(NumberUp(2) * NumberDown(2))").observables == (NumberUp(2) * NumberDown(2),)
    with pytest.raises(ValueError, match="too many terms"):
        parse_operator("Cdag(1000000000) * C(0)")


def random_spinless(rng, sites=5):
    """All hoppings, complex, all densities, and quartic terms of four different sites: (H, matrices, theta)."""
    fock = FockSpace(qt.fermions(sites))
    c = [fock.annihilator(j) for j in range(sites)]
    parameters = {"hop": [], "current": [], "density": [], "quartic": []}
    matrices = {name: [] for name in parameters}
    for i, j in itertools.combinations(range(sites), 2):
        parameters["hop"].append(Cdag(i) * C(j) + Cdag(j) * C(i))
        matrices["hop"].append(c[i].T @ c[j] + c[j].T @ c[i])
        parameters["current"].append(1j * Cdag(i) * C(j) - 1j * Cdag(j) * C(i))
        matrices["current"].append(1j * c[i].T @ c[j] - 1j * c[j].T @ c[i])
        parameters["density"].append(Number(j) * (1 - 0.5 * Number(i)))
        matrices["density"].append(c[j].T @ c[j] @ (np.eye(len(c[0])) - 0.5 * c[i].T @ c[i]))
    for _ in range(6):
        i, j, k, m = rng.permutation(sites)[:4].tolist()
        parameters["quartic"].append(Cdag(i) * Cdag(j) * C(k) * C(m) + Cdag(m) * Cdag(k) * C(j) * C(i))
        product = c[i].T @ c[j].T @ c[k] @ c[m]
        matrices["quartic"].append(product + product.T)
    return with_theta(qt.fermions(sites), parameters, matrices, rng)


def random_spinful(rng, sites=4):
    """Hoppings of each spin between any sites, spin flips, repulsion, and pair hopping: (H, matrices, theta)."""
    fock = FockSpace(qt.electrons(sites))
    up, down = ([fock.annihilator(j, k) for j in range(sites)] for k in range(2))
    parameters = {"up": [], "down": [], "flip": [], "U": [], "pair": []}
    matrices = {name: [] for name in parameters}
    for i, j in itertools.combinations(range(sites), 2):
        parameters["up"].append(CdagUp(i) * CUp(j) + CdagUp(j) * CUp(i))
        matrices["up"].append(up[i].T @ up[j] + up[j].T @ up[i])
        parameters["down"].append(CdagDown(i) * CDown(j) + CdagDown(j) * CDown(i))
        matrices["down"].append(down[i].T @ down[j] + down[j].T @ down[i])
        parameters["flip"].append(CdagUp(j) * CDown(i) + CdagDown(i) * CUp(j))
        matrices["flip"].append(up[j].T @ down[i] + down[i].T @ up[j])
        parameters["pair"].append(
            CdagUp(i) * CDown(j) * CdagDown(i) * CUp(j) + CdagUp(j) * CDown(i) * CdagDown(j) * CUp(i)
        )
        product = up[i].T @ down[j] @ down[i].T @ up[j]
        matrices["pair"].append(product + product.T)
    for j in range(sites):
        parameters["U"].append(NumberUp(j) * NumberDown(j) + 0.3 * Sz(j))
        n_up, n_down = up[j].T @ up[j], down[j].T @ down[j]
        matrices["U"].append(n_up @ n_down + 0.15 * (n_up - n_down))
    return with_theta(qt.electrons(sites), parameters, matrices, rng)


def with_theta(sites, parameters, matrices, rng):
    theta = {name: rng.normal(size=len(operators)) for name, operators in parameters.items()}
    return qt.Hamiltonian(sites, parameters), [m for name in parameters for m in matrices[name]], theta


def linear_response(matrix, observable, couplings):
    """d<observable>/d coupling in the ground state, by a sum over all others; and the gap."""
    energies, vectors = np.linalg.eigh(matrix)
    ground, others = vectors[:, 0], vectors[:, 1:]
    towards = others.conj().T @ observable @ ground / (energies[0] - energies[1:])
    gradient = [2 * np.vdot(others.conj().T @ coupling @ ground, towards).real for coupling in couplings]
    return np.array(gradient), energies[1] - energies[0]


def hoppings(sites):
    """Cdag_i C_j + h.c. and i Cdag_i C_j + h.c. of all pairs of modes, and their matrices."""
    modes = modes_of(sites) if sites in ALGEBRA else None
    if modes is None:
        fock, per_site = FockSpace(sites), [(C, Cdag)] if sites[0].name == "fermion" else MODES[SPINFUL]
        modes = [
            (c(j), cdag(j), fock.annihilator(j, k)) for j in range(len(sites)) for k, (c, cdag) in enumerate(per_site)
        ]
    for (a, adag, m), (b, bdag, n) in itertools.combinations(modes, 2):
        yield adag * b + bdag * a, m.T @ n + n.T @ m
        yield 1j * adag * b - 1j * bdag * a, 1j * m.T @ n - 1j * n.T @ m


@pytest.mark.parametrize("family", [random_spinless, random_spinful])
@pytest.mark.parametrize("solver", SOLVERS, ids=name_of)
def test_solvers_agree_with_occupation_numbers_on_random_hamiltonians(solver, family, rng):
    H, matrices, theta = family(rng)
    total = sum(c * m for c, m in zip(H.flatten(theta), matrices, strict=True))
    energies, vectors = np.linalg.eigh(total)
    operators, observed = zip(*hoppings(H.sites), strict=True)
    loss = qt.Expectation(operators[2] - 0.5 * operators[-1])
    expected, gap = linear_response(total, observed[2] - 0.5 * observed[-1], matrices)
    assert gap > 0.05  # so that components are no larger than 1/gap, and neither are their errors
    result = qt.gradient(H, theta, loss, solver=solver, rtol=1e-7)
    assert result.free.energy == pytest.approx(energies[0], abs=1e-8)
    assert result.trustworthy
    values = [np.vdot(vectors[:, 0], m @ vectors[:, 0]).real for m in observed]
    np.testing.assert_allclose(result.free.expectation(operators), values, atol=1e-6)
    np.testing.assert_allclose(H.flatten(result.gradient), expected, atol=1e-6)


def correlations(free_modes, particles):
    """<Cdag_i C_j> of the lowest modes of a hopping matrix."""
    occupied = np.linalg.eigh(free_modes)[1][:, :particles]
    return occupied @ occupied.T


def test_a_long_chain_of_free_fermions_has_its_exact_correlations():
    length = 60
    H = qt.models.spinless_fermions(length, local=True)
    t = np.random.default_rng(4).uniform(0.7, 1.3, length - 1) * np.where(np.arange(length - 1) % 2, 0.6, 1.0)
    theta = {"t": t, "V": np.zeros(length - 1), "mu": np.zeros(length)}
    state = qt.NumbaDMRG().ground_state(H, theta)
    one_body = -np.diag(t, 1) - np.diag(t, -1)
    exact = correlations(one_body, length // 2)
    assert state.energy == pytest.approx(np.linalg.eigvalsh(one_body)[: length // 2].sum(), abs=1e-8)
    pairs = [(i, j) for i in range(length) for j in range(i, length)]
    operators = [0.5 * (Cdag(i) * C(j) + Cdag(j) * C(i)) for i, j in pairs]
    np.testing.assert_allclose(state.expectation(operators), [exact[pair] for pair in pairs], atol=1e-6)


def test_a_long_string_does_not_make_the_operator_grow():
    length = 40
    near = qt.models.spinless_fermions(length)
    far = qt.Hamiltonian(qt.fermions(length), {"t": Cdag(3) * C(35) + Cdag(35) * C(3)})
    assert max(far.mpo.fill(far.coefficients({"t": 1.0})).bond_dimensions) == 2 + 2
    assert max(near.mpo.fill(near.coefficients({"t": 1.0, "V": 1.0, "mu": 0.3})).bond_dimensions) == 2 + 3
    spinful = qt.Hamiltonian(qt.electrons(length), {"t": CdagDown(3) * CDown(35) + CdagDown(35) * CDown(3)})
    assert max(spinful.mpo.fill(spinful.coefficients({"t": 1.0})).bond_dimensions) == 2 + 2
    pairs = [-Cdag(i) * C(j) - Cdag(j) * C(i) for i, j in itertools.combinations(range(length), 2)]
    all_pairs = qt.Hamiltonian(qt.fermions(length), {"t": pairs})
    bonds = all_pairs.mpo.fill(all_pairs.coefficients({"t": np.ones(len(pairs))})).bond_dimensions
    assert bonds == [2 + 2 * min(j + 1, length - j - 1) for j in range(length - 1)]  # as without strings


@pytest.mark.parametrize("periodic", [False, True])
def test_models_are_their_sums_over_occupation_numbers(periodic, rng):
    length = 4
    for model, names in ((qt.models.spinless_fermions, "t V mu"), (qt.models.fermi_hubbard, "t U mu h")):
        H = model(length, local=True, periodic=periodic)
        fock = FockSpace(H.sites)
        c = [[fock.annihilator(j, k) for j in range(length)] for k in range(2 if "U" in names else 1)]
        n = [[a.T @ a for a in spin] for spin in c]
        bonds = [(j, (j + 1) % length) for j in range(length if periodic else length - 1)]
        sites = range(length)
        terms = {
            "t": [-sum(a[i].T @ a[j] + a[j].T @ a[i] for a in c) for i, j in bonds],
            "V": [n[0][i] @ n[0][j] for i, j in bonds],
            "U": [n[0][j] @ n[-1][j] for j in sites],
            "mu": [-sum(spin[j] for spin in n) for j in sites],
            "h": [-(n[0][j] - n[-1][j]) / 2 for j in sites],
        }
        theta = {name: rng.normal(size=len(terms[name])) for name in names.split()}
        by_hand = sum(g * a for name in theta for g, a in zip(theta[name], terms[name], strict=True))
        np.testing.assert_allclose(H.to_sparse(theta).toarray(), by_hand, atol=1e-14)
        uniform = {name: 0.3 + k for k, name in enumerate(theta)}
        by_hand = sum(g * sum(terms[name]) for name, g in uniform.items())
        matrix = model(length, periodic=periodic).to_sparse(uniform).toarray()
        np.testing.assert_allclose(matrix, by_hand, atol=1e-13)


def test_spinless_fermions_are_the_xxz_chain(rng):
    length = 6
    t, V, mu = rng.normal(size=length - 1), rng.normal(size=length - 1), rng.normal(size=length)
    fermions = qt.models.spinless_fermions(length, local=True).to_sparse({"t": t, "V": V, "mu": mu}).toarray()
    field = -mu + (np.append(V, 0) + np.append(0, V)) / 2
    xxz = qt.models.xxz(length, local=True).to_sparse({"J_xy": -2 * t, "J_z": V, "h": field}).toarray()
    constant = V.sum() / 4 - mu.sum() / 2
    np.testing.assert_allclose(fermions, xxz + constant * np.eye(2**length), atol=1e-13)


@pytest.mark.parametrize("particles", [2, 3])
def test_a_ring_of_fermions_has_plane_waves_for_any_number_of_particles(particles):
    length = 6
    H = qt.models.spinless_fermions(length, periodic=True)
    levels = np.sort(-2 * np.cos(2 * np.pi * np.arange(length) / length))
    mu = levels[particles - 1 : particles + 1].mean()
    state = qt.ExactDiagonalization().ground_state(H, {"t": 1.0, "V": 0.0, "mu": mu})
    filled = np.minimum(levels - mu, 0).sum()
    assert state.energy == pytest.approx(filled, abs=1e-10)


@pytest.mark.parametrize("U", [-3.0, 0.0, 4.0])
def test_two_sites_of_the_hubbard_model_are_solved_by_hand(U):
    # half filling: a singlet, U/2 - sqrt(U^2/4 + 4 t^2), and mu = U/2 for two electrons takes off U
    H, theta = qt.models.fermi_hubbard(2), {"t": 1.3, "U": U, "mu": U / 2, "h": 0.0}
    state = qt.ExactDiagonalization().ground_state(H, theta)
    singlet = U / 2 - np.sqrt(U**2 / 4 + 4 * 1.3**2) - U
    assert state.energy == pytest.approx(min(singlet, 0.0), abs=1e-12)
    np.testing.assert_allclose(state.expectation([Number(0), NumberUp(0), Sz(1)]), [1, 0.5, 0], atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS, ids=name_of)
def test_a_repulsive_chain_at_half_filling_has_one_electron_a_site(solver):
    H, theta = qt.models.fermi_hubbard(4), {"t": 1.0, "U": 4.0, "mu": 2.0, "h": 0.0}
    state = solver.ground_state(H, theta)
    np.testing.assert_allclose(state.expectation([Number(j) for j in range(4)]), 1, atol=1e-6)
    assert state.energy == pytest.approx(np.linalg.eigvalsh(H.to_sparse(theta).toarray())[0], abs=1e-8)


@pytest.mark.parametrize("model", ["spinless_fermions", "fermi_hubbard"])
def test_fermions_that_hardly_hop_are_found_in_their_lowest_configuration(model, rng):
    H = qt.models.MODELS[model](8 if model == "spinless_fermions" else 5, local=True)
    theta = {name: rng.normal(size=len(a)) * (0.01 if name == "t" else 1.0) for name, a in H.parameters.items()}
    state = qt.NumbaDMRG().ground_state(H, theta)
    assert state.converged
    assert state.energy == pytest.approx(np.linalg.eigvalsh(H.to_sparse(theta).toarray())[0], abs=1e-8)


def test_the_example_comes_close_to_the_infinite_chain(monkeypatch, capsys, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples")
    example = importlib.import_module("fermi_hubbard")
    monkeypatch.setattr(example, "REPULSIONS", (8.0,))
    example.main(8, 12, tmp_path / "hubbard.png")
    assert (tmp_path / "hubbard.png").exists()
    numbers = re.findall(r"-?\d\.\d+", capsys.readouterr().out)
    energy, exact, doubled, exactly = map(float, numbers)
    assert energy == pytest.approx(exact, abs=5e-3)  # the next term is of the order of 1/L^2
    assert doubled == pytest.approx(exactly, abs=5e-3)


def test_samples_are_occupations():
    H = qt.models.fermi_hubbard(4)
    state = qt.NumbaDMRG().ground_state(H, {"t": 1.0, "U": 3.0, "mu": 1.5, "h": 0.0})
    levels = qt.sample(state, "N", 4000, rng=1)
    numbers, spins = np.array([0, 1, 1, 2])[levels], np.array([0, 0.5, -0.5, 0])[levels]
    assert (numbers.sum(axis=1) == 4).all()
    assert (spins.sum(axis=1) == 0).all()
    exact = state.expectation([NumberUp(1) * NumberDown(1), Sz(1) * Sz(2)])
    sampled = [levels[:, 1] == 3, spins[:, 1] * spins[:, 2]]
    np.testing.assert_allclose([np.mean(s) for s in sampled], exact, atol=0.03)  # four standard errors


def test_what_no_shot_measures_is_refused():
    H = qt.models.spinless_fermions(4)
    with pytest.raises(ValueError, match="cannot be measured, for no basis of a fermion measures"):
        qt.gradient(H, {"t": 1.0, "V": 0.5, "mu": 0.2}, qt.Expectation(Number(1)), shots=100)


@pytest.mark.parametrize("conserve", [None, "N"])
def test_tenpy_states_of_fermions_convert_both_ways(conserve, rng):
    from tenpy.networks.mps import MPS as TenpyMPS  # noqa: N811
    from tenpy.networks.site import FermionSite, SpinHalfFermionSite

    cases = [
        (qt.fermions(6), FermionSite(conserve), ["empty", "full"], [("C", C, Cdag)]),
        (
            qt.electrons(4),
            SpinHalfFermionSite(conserve, None),
            ["empty", "up", "down", "full"],
            [("Cu", CUp, CdagUp), ("Cd", CDown, CdagDown)],
        ),
    ]
    for sites, theirs, labels, modes in cases:
        psi = TenpyMPS.from_product_state(
            [theirs] * len(sites), (labels * 6)[1 : len(sites) + 1], unit_cell_width=len(sites)
        )
        psi.apply_local_op(1, theirs.Id)
        random_unitaries(psi, rng)
        state = qt.MPS.from_tenpy(sites, psi)
        ground = qt.GroundState(0.0, state, sites, 0.0)
        for name, c, cdag in modes:
            adjoint = {"C": "Cd", "Cu": "Cdu", "Cd": "Cdd"}[name]
            expected = psi.correlation_function(adjoint, name)
            ours = [
                [ground.expectation((cdag(i) * c(j) + cdag(j) * c(i)) / 2) for j in range(len(sites))]
                for i in range(len(sites))
            ]
            np.testing.assert_allclose(ours, expected.real, atol=1e-10)
            again = state.to_tenpy()
            theirs_again = again.correlation_function(*(f(0).terms.popitem()[0][-1][1][-1] for f in (cdag, c)))
            np.testing.assert_allclose(theirs_again, expected, atol=1e-10)


def random_unitaries(psi, rng):
    """Two layers of random gates that conserve the charge of TeNPy's sites."""
    from tenpy.algorithms.tebd import RandomUnitaryEvolution

    RandomUnitaryEvolution(psi, {"N_steps": 2, "trunc_params": {"chi_max": 64, "svd_min": 1e-14}}).run()
