"""Conserved charges: found, chosen, kept; energies and gradients in blocks beside those without."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import Create, Destroy, Number, NumberDown, NumberUp, Sm, Sp, Sx, Sy, Sz, X, Y, Z
from qep_tn.hamiltonians.charges import Charges, conserved
from qep_tn.solvers.sector_configurations import lowest_configurations
from qep_tn.states.charges import charged_form

L = 10
EXACT = qt.ExactDiagonalization()


def chain(seed=0, L=L):
    """A disordered XXZ chain with a weak field, and its parameters."""
    rng = np.random.default_rng(seed)
    H = qt.models.xxz(L, local=True)
    return H, {"J_xy": rng.uniform(0.7, 1.3, L - 1), "J_z": rng.uniform(0.3, 0.9, L - 1), "h": rng.normal(0, 0.1, L)}


def bosons(L=6, cutoff=3):
    """Bose-Hubbard on a few sites."""
    H = qt.Hamiltonian(
        qt.bosons(L, cutoff),
        {
            "t": [-(Create(j) * Destroy(j + 1) + Create(j + 1) * Destroy(j)) for j in range(L - 1)],
            "U": sum(0.5 * (Number(j) * Number(j) - Number(j)) for j in range(L)),
        },
    )
    return H, {"t": np.linspace(0.8, 1.2, L - 1), "U": 2.5}


def lowest_in_sector(H, theta, charge, value):
    """Energy by a dense matrix, restricted by the diagonal of the charge."""
    matrix = H.to_sparse(theta).toarray()
    diagonal = sparse_diagonal(H.sites, charge)
    inside = np.flatnonzero(abs(diagonal - value) < 1e-9)
    return np.linalg.eigvalsh(matrix[np.ix_(inside, inside)])


def sparse_diagonal(sites, name):
    """The sum over all sites of a diagonal operator, as a vector over basis states."""
    total = np.zeros(1)
    for site in sites:
        total = (total[:, None] + np.diagonal(site.operators[name]).real).ravel()
    return total


def flat(gradient):
    return np.concatenate([np.ravel(part) for part in gradient.values()])


def test_charges_are_found_from_the_terms():
    H, theta = chain()
    assert conserved(H.sites, H.products, H.coefficients(theta)) == ("Sz",)
    anisotropic = qt.Hamiltonian(qt.qubits(4), {"x": X(0) * X(1), "y": Y(0) * Y(1)})
    assert conserved(anisotropic.sites, anisotropic.products, anisotropic.coefficients({"x": 1, "y": 1})) == ("Sz",)
    assert conserved(anisotropic.sites, anisotropic.products, anisotropic.coefficients({"x": 1, "y": 0.9})) == ()
    ising = qt.models.cluster_ising(8)
    assert conserved(ising.sites, ising.products, ising.coefficients({"g_x": 1, "g_zz": 1, "g_zxz": 0})) == ()
    hubbard = qt.models.fermi_hubbard(4)
    at = dict.fromkeys(hubbard.parameters, 1.0)
    assert len(conserved(hubbard.sites, hubbard.products, hubbard.coefficients(at))) == 2


@pytest.mark.parametrize("value", [0, 1, -2])
@pytest.mark.parametrize("solver", [qt.ExactDiagonalization, qt.NumbaDMRG])
def test_spin_sectors(solver, value):
    H, theta = chain()
    state = solver(sector={"Sz": value}).ground_state(H, theta)
    assert state.energy == pytest.approx(lowest_in_sector(H, theta, "Sz", value)[0], abs=1e-9)
    assert state.expectation(sum(Sz(j) for j in range(L))) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("particles", [1, 4, 6])
def test_boson_sectors(particles):
    H, theta = bosons()
    reference = lowest_in_sector(H, theta, "Number", particles)[0]
    for solver in (qt.ExactDiagonalization(sector={"N": particles}), qt.NumbaDMRG(sector={"N": particles})):
        state = solver.ground_state(H, theta)
        assert state.energy == pytest.approx(reference, abs=1e-8), solver
        assert dict(state.sector) == {"Number": particles}


def test_two_charges_at_once():
    H = qt.models.fermi_hubbard(5)
    theta = {name: {"t": 1.0, "U": 3.0}.get(name, 0.0) for name in H.parameters}
    matrix = H.to_sparse(theta).toarray()
    up, down = (sparse_diagonal(H.sites, name) for name in ("NumberUp", "NumberDown"))
    inside = np.flatnonzero((up == 3) & (down == 1))
    reference = np.linalg.eigvalsh(matrix[np.ix_(inside, inside)])[0]
    sector = {"NumberUp": 3, "NumberDown": 1}
    for solver in (qt.ExactDiagonalization(sector=sector), qt.NumbaDMRG(sector=sector)):
        assert solver.ground_state(H, theta).energy == pytest.approx(reference, abs=1e-8), solver


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "loss",
    [
        qt.Expectation(Sx(4) * Sx(7) + Sy(4) * Sy(7)),
        qt.Expectation(Z(1) * Z(8)),
        qt.MeanSquaredError([Z(3), Z(4) * Z(5)], [0.2, -0.7]),
        qt.Expectation(Sx(2) * Sx(3)),  # it does not conserve the charge: dense tensors
    ],
)
def test_gradients_in_a_sector(seed, loss):
    H, theta = chain(seed)
    reference = qt.gradient(H, theta, loss, solver=EXACT)
    assert reference.free.expectation(sum(Sz(j) for j in range(L))) == pytest.approx(0, abs=1e-9)
    g = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(sector={"Sz": 0}), rtol=1e-4)
    exact, error = flat(reference.gradient), flat(g.gradient) - flat(reference.gradient)
    assert np.linalg.norm(error) < 1e-4 * np.linalg.norm(exact)
    assert g.trustworthy


def test_a_gradient_above_the_ground_state():
    """In a sector that is not the lowest, beside a difference quotient of dense matrices."""
    H, theta = chain()
    loss = qt.Expectation(Z(4) * Z(5))
    g = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(sector={"Sz": 2}), rtol=1e-4)
    exact = qt.gradient(H, theta, loss, solver=qt.ExactDiagonalization(sector={"Sz": 2}))
    inside = np.flatnonzero(sparse_diagonal(H.sites, "Sz") == 2)
    zz = qt.Hamiltonian(H.sites, {"zz": Z(4) * Z(5)}).to_sparse({"zz": 1.0}).diagonal().real

    def value(theta):
        vectors = np.linalg.eigh(H.to_sparse(theta).toarray()[np.ix_(inside, inside)])[1]
        return float(vectors[:, 0] ** 2 @ zz[inside])

    for k in (2, 4, 6):
        shifted = [dict(theta, J_z=theta["J_z"] + step * np.eye(L - 1)[k]) for step in (1e-4, -1e-4)]
        slope = (value(shifted[0]) - value(shifted[1])) / 2e-4
        assert exact.gradient["J_z"][k] == pytest.approx(slope, abs=1e-6)
        assert g.gradient["J_z"][k] == pytest.approx(slope, abs=2e-4)


def test_a_coupling_that_breaks_the_charge_has_its_own_component():
    """At theta = 0 of the coupling, with a nudge that breaks the charge: not zero by fiat."""
    H, theta = chain()
    H = H.with_parameter("g", [X(4), X(5)])
    theta = {**theta, "g": np.zeros(2)}
    loss = qt.Expectation(X(3) + 0.5 * X(6))
    g = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(), rtol=1e-4)
    exact = qt.gradient(H, theta, loss, solver=EXACT)
    assert abs(exact.gradient["g"]).min() > 0.01
    assert np.allclose(g.gradient["g"], exact.gradient["g"], rtol=1e-3)


def test_with_and_without_blocks_the_same(monkeypatch):
    """The charge kept and dropped: the same energy, gradient and bars, at bonds where blocks are used on their own."""
    monkeypatch.setattr("qep_tn.solvers.sweep_search._BLOCKS_PAY", 4)
    H, theta = chain(5, L=16)
    loss = qt.Expectation(Z(7) * Z(9))
    blocks = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(), rtol=1e-4)
    monkeypatch.setattr("qep_tn.solvers.numba_dmrg.conserved_by", lambda *_: None)
    dense = qt.gradient(H, theta, loss, solver=qt.NumbaDMRG(), rtol=1e-4)
    assert blocks.free.mps.charges is not None
    assert dense.free.mps.charges is None
    assert blocks.free.energy == pytest.approx(dense.free.energy, abs=1e-8)
    distance = np.linalg.norm(flat(blocks.gradient) - flat(dense.gradient))
    assert distance < 1e-4 * np.linalg.norm(flat(dense.gradient))
    bars = [np.linalg.norm(flat(g.error)) for g in (blocks, dense)]
    assert 0.1 < bars[0] / bars[1] < 10


@pytest.mark.slow  # it compiles the kernels of complex blocks
def test_complex_hamiltonians():
    """A Dzyaloshinskii-Moriya term conserves S^z and has complex blocks."""
    L = 8
    dm = sum(0.4 * (X(j) * Y(j + 1) - Y(j) * X(j + 1)) for j in range(L - 1))
    xx = sum(X(j) * X(j + 1) + Y(j) * Y(j + 1) + 0.3 * Z(j) * Z(j + 1) for j in range(L - 1))
    H = qt.Hamiltonian(qt.qubits(L), {"d": dm, "j": xx})
    theta = {"d": 1.0, "j": 0.7}
    reference = lowest_in_sector(H, theta, "Sz", 1)[0]
    for solver in (qt.ExactDiagonalization(sector={"Sz": 1}), qt.NumbaDMRG(sector={"Sz": 1})):
        assert solver.ground_state(H, theta).energy == pytest.approx(reference, abs=1e-9), solver


@pytest.mark.parametrize("solver", [qt.ExactDiagonalization, qt.NumbaDMRG])
def test_gaps_within_a_sector(solver):
    H, theta = chain(3)
    levels = lowest_in_sector(H, theta, "Sz", 0)
    keep = solver(sector={"Sz": 0})
    ground = keep.ground_state(H, theta)
    second = keep.excited_state(H, theta, [ground])
    assert second.energy == pytest.approx(levels[1], abs=1e-7)


def test_a_sector_with_one_state():
    H, theta = chain()
    for solver in (qt.NumbaDMRG(sector={"Sz": L / 2}), qt.ExactDiagonalization(sector={"Sz": L / 2})):
        state = solver.ground_state(H, theta)
        assert state.energy == pytest.approx(lowest_in_sector(H, theta, "Sz", L / 2)[0], abs=1e-10)


def test_a_start_in_another_sector_is_left_behind():
    H, theta = chain()
    other = qt.NumbaDMRG(sector={"Sz": 2}).ground_state(H, theta)
    state = qt.NumbaDMRG(sector={"Sz": 0}).ground_state(H, theta, start=other)
    assert state.energy == pytest.approx(lowest_in_sector(H, theta, "Sz", 0)[0], abs=1e-9)


@pytest.mark.parametrize("solver", [qt.ExactDiagonalization, qt.NumbaDMRG])
@pytest.mark.parametrize(
    ("sector", "message"),
    [
        ({"Sz": 0.5}, "no state of these 10 sites"),
        ({"Sz": 9}, "impossible"),
        ({"Sz": 0.3}, "multiples of 0.5"),
        ({"charge": 1}, "no site has an operator 'charge'"),
        ({"X": 0}, "no charge"),
    ],
)
def test_impossible_sectors_are_refused(solver, sector, message):
    H, theta = chain()
    with pytest.raises(ValueError, match=message) as refusal:
        solver(sector=sector).ground_state(H, theta)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("solver", [qt.ExactDiagonalization, qt.NumbaDMRG])
def test_a_charge_that_H_breaks_is_refused_with_its_term(solver):
    H, theta = chain()
    H = H.with_parameter("g", [X(4)])
    with pytest.raises(ValueError, match=r"does not conserve Sz.*X\(4\)"):
        solver(sector={"Sz": 0}).ground_state(H, {**theta, "g": [0.1]})


def test_a_state_in_blocks_is_what_it_was_without():
    H, theta = chain()
    state = qt.NumbaDMRG(sector={"Sz": 1}).ground_state(H, theta).mps
    again = charged_form(qt.MPS(state.sites, state.tensors), [np.array([1, -1])] * L)
    assert again is not None
    assert abs(again.overlap(state)) == pytest.approx(1, abs=1e-10)
    assert np.array_equal(np.sort(again.charges.labels), np.sort(state.charges.labels))
    kept = qt.MPS.from_arrays(state.sites, state.arrays())
    assert np.array_equal(kept.charges.labels, state.charges.labels)


def test_spins_of_one():
    H = qt.Hamiltonian(qt.spins(6, 2), {"j": sum(Sp(j) * Sm(j + 1) + Sm(j) * Sp(j + 1) for j in range(5))})
    state = qt.NumbaDMRG(sector={"Sz": -3}).ground_state(H, {"j": 1.0})
    assert state.energy == pytest.approx(lowest_in_sector(H, {"j": 1.0}, "Sz", -3)[0], abs=1e-9)


def lattice_gas(seed, hopping, L=8):
    """Hard-core particles that hop a little and repel or attract each other at any distance."""
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(L) for j in range(i + 1, L)]
    H = qt.Hamiltonian(
        qt.qubits(L),
        {
            "V": [Number(i) * Number(j) for i, j in pairs],
            "t": -sum(Sp(j) * Sm(j + 1) + Sm(j) * Sp(j + 1) for j in range(L - 1)),
        },
    )
    return H, {"V": rng.normal(size=len(pairs)), "t": hopping}


@pytest.mark.parametrize(
    ("sites", "names", "wanted"),
    [
        (qt.bosons(5, 3), ("Number",), [6]), (qt.electrons(4), ("NumberUp", "NumberDown"), [3, 1]),
        (qt.spins(5, 2), ("Sz",), [-1]), ((qt.boson(2), qt.qubit()) * 3, ("Number",), [7]),
    ],
)  # fmt: skip
def test_lowest_configurations_are_those_of_all(sites, names, wanted, rng):
    """Random energies of levels and of neighbours, beside all configurations one by one."""
    number = "NumberUp" if names[0] == "NumberUp" else names[0]
    operator = {"Number": Number, "NumberUp": NumberUp, "Sz": Sz}[number]
    other = NumberDown if number == "NumberUp" else operator
    bonds = [operator(j) * other(j + 1) + 0.3 * operator(j) for j in range(len(sites) - 1)]
    H = qt.Hamiltonian(sites, {"V": bonds, "W": [other(j) * other(j) for j in range(len(sites))]}, fixed=0.7)
    coefficients = H.coefficients({"V": rng.normal(size=len(bonds)), "W": rng.normal(size=len(sites))})
    charges = Charges.of_sites(sites, names)
    total = charges.integer(dict(zip(names, wanted, strict=True)))
    diagonal = sum(c * sparse_product(product, sites) for product, c in zip(H.products, coefficients, strict=True))
    every = list(np.ndindex(*(site.dimension for site in sites)))
    sums = [sum(own[x] for own, x in zip(charges.levels, levels, strict=True)) for levels in every]
    inside = [n for n, charge in enumerate(sums) if charge == total]
    order = sorted(inside, key=lambda n: diagonal[n])
    found = lowest_configurations(H, coefficients, charges, total, 6)
    energies = [diagonal[every.index(tuple(levels))] for levels in found]
    np.testing.assert_allclose(energies, [diagonal[n] for n in order[:6]], atol=1e-10)
    assert len({tuple(levels) for levels in found}) == len(found)
    far = H.with_parameter("far", [operator(0) * operator(2)])
    assert lowest_configurations(far, np.ones(len(far.products)), charges, total, 6) is None


def sparse_product(product, sites):
    """The diagonal of a product."""
    factors, result = dict(product), np.ones(1)
    for j, site in enumerate(sites):
        result = np.kron(result, np.diagonal(site.matrix(factors.get(j, ()))).real)
    return result


@pytest.mark.parametrize("seed", range(2))
def test_particles_find_the_wells_of_a_long_disordered_chain(seed):
    """Hard-core bosons in random wells are free fermions; sweeps alone do not carry one to a distant well."""
    length, t = 48, 0.1
    H = qt.Hamiltonian(
        qt.qubits(length),
        {
            "t": -sum(Sp(j) * Sm(j + 1) + Sm(j) * Sp(j + 1) for j in range(length - 1)),
            "mu": [Number(j) for j in range(length)],
        },
    )
    mu = np.random.default_rng(seed).uniform(-1, 1, length)
    levels = np.linalg.eigvalsh(np.diag(mu) - t * (np.eye(length, k=1) + np.eye(length, k=-1)))
    state = qt.NumbaDMRG(sector={"N": length // 2}).ground_state(H, {"t": t, "mu": mu})
    assert state.energy == pytest.approx(levels[: length // 2].sum(), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_disordered_insulators(seed):
    """Bosons whose hops are weak, in wells of random depth: none, one and more on a site."""
    H = qt.models.bose_hubbard(6, cutoff=3, local=True)
    rng = np.random.default_rng(seed)
    theta = {"t": rng.uniform(0.01, 0.05, 5), "U": rng.uniform(0.8, 1.2, 6), "mu": rng.normal(0, 0.8, 6)}
    for number in (2, 6, 15):  # so few, and so many, that a site has levels which cannot be
        state = qt.NumbaDMRG(sector={"N": number}).ground_state(H, theta)
        assert state.energy == pytest.approx(lowest_in_sector(H, theta, "Number", number)[0], abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("hopping", [0.01, 0.1])
def test_nearly_diagonal_sectors(seed, hopping):
    """Where every configuration is nearly an eigenstate, the lowest of the sector is found."""
    H, theta = lattice_gas(seed, hopping)
    state = qt.NumbaDMRG(sector={"N": 4}).ground_state(H, theta)
    assert state.energy == pytest.approx(lowest_in_sector(H, theta, "Number", 4)[0], abs=1e-8)


@pytest.mark.parametrize("value", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_ferromagnets_make_clusters(seed, value):
    rng = np.random.default_rng(seed)
    H = qt.models.xxz(L, local=True)
    theta = {"J_xy": np.full(L - 1, 0.3), "J_z": np.full(L - 1, -2.0), "h": rng.normal(0, 0.1, L)}
    state = qt.NumbaDMRG(sector={"Sz": value}).ground_state(H, theta)
    assert state.energy == pytest.approx(lowest_in_sector(H, theta, "Sz", value)[0], abs=1e-8)


def test_a_start_that_is_the_ground_state_is_not_lost():
    H, theta = lattice_gas(1, 0.0)
    keep = qt.NumbaDMRG(sector={"N": 4})
    ground = keep.ground_state(H, theta)
    again = keep.ground_state(H, theta, start=ground)
    assert again.energy <= ground.energy + 1e-12


@pytest.mark.parametrize("pay", [4, 32])
def test_warm_starts_cross_to_other_sectors(monkeypatch, pay):
    """Without a sector, a field that magnetizes the chain step by step, each from the state before."""
    monkeypatch.setattr("qep_tn.solvers.sweep_search._BLOCKS_PAY", pay)
    H, state = qt.models.xxz(L), None
    for k in range(8):
        theta = {"J_xy": 1.0, "J_z": 0.5 + 0.05 * k, "h": 0.3 * k}
        state = qt.NumbaDMRG(cutoff=1e-9).ground_state(H, theta, start=state)
        assert state.energy == pytest.approx(EXACT.ground_state(H, theta).energy, abs=1e-7)


def test_a_full_certificate_in_a_sector_is_that_sectors():
    H, theta = chain(L=8)
    solver = qt.NumbaDMRG(sector={"Sz": 2})
    assert qt.gradient(H, theta, qt.Expectation(Z(3) * Z(4)), solver=solver, certify="full", rtol=1e-3).trustworthy


@pytest.mark.parametrize("length", [3, 7])
def test_odd_chains_have_half_integer_sectors(length):
    H, theta = chain(L=length)
    state = qt.NumbaDMRG(sector={"Sz": -0.5}).ground_state(H, theta)
    assert state.energy == pytest.approx(lowest_in_sector(H, theta, "Sz", -0.5)[0], abs=1e-9)


def test_bosons_beside_qubits():
    """Number of both; the levels of neighbours differ, and pairs are of any range."""
    sites = (qt.boson(2), qt.qubit()) * 3
    rng = np.random.default_rng(3)

    def up(j):
        return Create(j) if j % 2 == 0 else Sm(j)  # |1><0| of a qubit

    def down(j):
        return Destroy(j) if j % 2 == 0 else Sp(j)

    pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    H = qt.Hamiltonian(
        sites, {"t": [up(i) * down(j) + up(j) * down(i) for i, j in pairs], "n": [Number(j) for j in range(6)]}
    )
    theta = {"t": rng.normal(size=len(pairs)), "n": rng.normal(size=6)}
    for solver in (qt.NumbaDMRG(sector={"N": 4}), qt.ExactDiagonalization(sector={"N": 4})):
        state = solver.ground_state(H, theta)
        assert state.energy == pytest.approx(lowest_in_sector(H, theta, "Number", 4)[0], abs=1e-9)


def test_names_that_count_nothing_and_long_strings_are_no_charges():
    odd = qt.Site("transmon", {"Number": np.array([[0.0, 0.3], [0.3, 1.0]]), "Q": np.diag([0.0, 1.0])})
    H = qt.Hamiltonian((odd,) * 5, {"n": sum(Number(j) for j in range(5))})
    assert conserved(H.sites, H.products, H.coefficients({"n": 1.0})) == ()
    string = X(0)
    for j in range(1, 30):
        string = string * X(j)
    H = qt.Hamiltonian(qt.qubits(30), {"parity": string, "z": sum(Z(j) for j in range(30))})
    assert conserved(H.sites, H.products, H.coefficients({"parity": 1.0, "z": 1.0})) == ()


def test_a_sector_with_one_state_has_no_response():
    H, theta = chain()
    solver = qt.ExactDiagonalization(sector={"Sz": L / 2})
    for scheme in ("symmetric", "linear-response"):
        g = qt.gradient(H, theta, qt.Expectation(Z(3) * Z(4)), solver=solver, scheme=scheme)
        assert g.trustworthy, g.message
        assert not H.flatten(g.gradient).any()


@pytest.mark.parametrize("sector", ["Sz", {"Sz": [0]}, {"Sz": "0"}])
def test_a_sector_that_is_no_table_of_numbers_is_refused(sector):
    H, theta = chain()
    with pytest.raises(ValueError, match="give a number for each charge"):
        qt.ExactDiagonalization(sector=sector).ground_state(H, theta)


def test_a_loss_that_leaves_the_sector_is_named():
    H, theta = chain(L=8)
    with pytest.raises(ValueError, match="the loss has an operator that leaves it"):
        qt.gradient(H, theta, qt.Expectation(Sx(2) * Sx(3)), solver=qt.ExactDiagonalization(sector={"Sz": 1}))


def test_a_charge_named_twice_is_refused():
    H, theta = bosons()
    with pytest.raises(ValueError, match="twice"):
        qt.NumbaDMRG(sector={"N": 3, "Number": 4}).ground_state(H, theta)
    assert hash(qt.NumbaDMRG(sector={"N": 3})) is not None
