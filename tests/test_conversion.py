"""States that come from TeNPy and quimb: what those libraries themselves say of them, and what is refused."""

import numpy as np
import pytest
import quimb.tensor as qtn
import tenpy
from tenpy.algorithms.tebd import RandomUnitaryEvolution
from tenpy.linalg import np_conserved as npc
from tenpy.networks import site as kinds
from tenpy.networks.purification_mps import PurificationMPS

import qep_tn as qt
from qep_tn import MPS, Z

# Every TeNPy site with a counterpart here, by each charge that it can conserve.
COUNTERPARTS = (
    [
        (lambda c=c, s=s: kinds.SpinHalfSite(c, sort_charge=s), qt.qubit())
        for c in ("Sz", "parity", None)
        for s in (True, False)
    ]
    + [(lambda n=n, c=c: kinds.SpinSite(n / 2, c), qt.spin(n)) for n in (1, 2, 3) for c in ("Sz", "parity", None)]
    + [(lambda n=n: kinds.SpinSite(n / 2, "parity", sort_charge=False), qt.spin(n)) for n in (2, 3)]
    + [(lambda n=n, c=c: kinds.BosonSite(n, c), qt.boson(n)) for n in (1, 2, 3) for c in ("N", "parity", None)]
    + [
        (lambda: kinds.SpinSite(1.0, "dipole"), qt.spin(2)),
        (lambda: kinds.BosonSite(2, "dipole"), qt.boson(2)),
        (lambda: kinds.SpinHalfSite("Sz"), qt.spin(1)),
        (lambda: kinds.SpinSite(0.5, "Sz"), qt.qubit()),
        (lambda: kinds.ClockSite(2, "Z"), qt.qubit()),
    ]
)
# TeNPy's operators by the names that they have here
NAMES = {name: name for name in ("Sx", "Sy", "Sz", "Sp", "Sm", "X", "Z")} | {
    "Sigmax": "X", "Sigmay": "Y", "Sigmaz": "Z", "N": "Number", "B": "Destroy", "Bd": "Create",
}  # fmt: skip
PAIRS = [("Sp", "Sm"), ("Sz", "Sz"), ("Sx", "Sy"), ("Bd", "B"), ("N", "N"), ("Z", "Z"), ("Sigmax", "Sigmay")]


def label(pair):
    make, site = pair
    theirs = make()
    return f"{theirs!r}-sorted:{theirs.used_sort_charge}-as-{site.name}"


@pytest.fixture(params=COUNTERPARTS, ids=label)
def counterparts(request):
    make, site = request.param
    return make(), site


def random_state(sites, start, bond=5):
    """An entangled complex state in the charge sector of a product state, all of it TeNPy's work."""
    psi = product_state(sites, start)
    np.random.seed(3)  # noqa: NPY002 - TeNPy draws from there
    RandomUnitaryEvolution(psi, {"N_steps": 2, "trunc_params": {"chi_max": bond}}).run()
    psi.canonical_form()
    return psi


def product_state(sites, start):
    return tenpy.MPS.from_product_state(sites, start, dtype=complex, unit_cell_width=len(sites))


def both_have(theirs, ours):
    return {name for name in theirs.opnames if NAMES.get(name) in ours.operators}


def assert_sees_what_tenpy_sees(state, psi):
    """All local expectation values and the correlations of every pair of sites, to rounding."""
    pairs = enumerate(zip(psi.sites, state.sites, strict=True))
    local = [(j, name) for j, pair in pairs for name in sorted(both_have(*pair))]
    mine = state.product_expectations(tuple(((j, (NAMES[name],)),) for j, name in local))
    np.testing.assert_allclose(mine, [psi.expectation_value(name, [j])[0] for j, name in local], atol=1e-12)
    if "dipole" in psi.chinfo.names:
        return  # whose products of operators TeNPy does not take beyond the first site
    for a, b in PAIRS:
        if all({a, b} <= both_have(*pair) for pair in zip(psi.sites, state.sites, strict=True)):
            mine, expected = state.correlations(NAMES[a], NAMES[b]), psi.correlation_function(a, b)
            np.testing.assert_allclose(mine, expected, atol=1e-12)


def assert_there_and_back(state):
    """TeNPy sees our operators by our names, and gives the state back."""
    theirs = state.to_tenpy()
    local = [(j, name) for j, site in enumerate(state.sites) for name in site.operators]
    mine = state.product_expectations(tuple(((j, (name,)),) for j, name in local))
    np.testing.assert_allclose(mine, [theirs.expectation_value(name, [j])[0] for j, name in local], atol=1e-12)
    assert MPS.from_tenpy(state.sites, theirs).overlap(state) == pytest.approx(1, abs=1e-12)


def test_an_entangled_state_of_any_kind_of_site_keeps_its_expectation_values(counterparts):
    theirs, ours = counterparts
    psi = random_state([theirs] * 4, [ours.dimension - 1, 0, 0, 1])
    state = MPS.from_tenpy((ours,) * 4, psi)
    assert_sees_what_tenpy_sees(state, psi)
    assert_there_and_back(state)


def test_a_product_state_of_any_kind_of_site_keeps_its_expectation_values(counterparts):
    theirs, ours = counterparts
    psi = product_state([theirs] * 4, [0, ours.dimension - 1, 1, 0])
    assert_sees_what_tenpy_sees(MPS.from_tenpy((ours,) * 4, psi), psi)


def test_a_neel_state_arrives_as_it_left():
    psi = product_state([kinds.SpinHalfSite("Sz")] * 4, ["up", "down"] * 2)
    state = MPS.from_tenpy(qt.qubits(4), psi)
    np.testing.assert_allclose(qt.GroundState(0.0, state, state.sites, 0.0).expectation([Z(j) for j in range(4)]),
                               [1, -1, 1, -1])  # fmt: skip


@pytest.mark.parametrize("charges", ["same", "independent", "drop"])
def test_a_mixed_chain_keeps_its_expectation_values(charges):
    a, b, c = kinds.SpinHalfSite("Sz"), kinds.SpinSite(1.0, "Sz"), kinds.BosonSite(2, "N")
    kinds.set_common_charges([a, b, c], charges)
    psi = random_state([a, b, c, a, c, b], [1, 2, 0, 0, 2, 1], bond=8)
    state = MPS.from_tenpy((qt.qubit(), qt.spin(2), qt.boson(2), qt.qubit(), qt.boson(2), qt.spin(2)), psi)
    assert_sees_what_tenpy_sees(state, psi)
    assert_there_and_back(state)


@pytest.mark.parametrize("form", ["A", "C", "G", None])
def test_any_form_of_tenpys_tensors_is_the_same_state(form):
    psi = random_state([kinds.SpinHalfSite("Sz")] * 6, ["up", "down", "up"] * 2)
    state = MPS.from_tenpy(qt.qubits(6), psi)
    if form is None:
        tensors = [psi.get_B(j) * (j + 2.0) for j in range(6)]
        psi = tenpy.MPS(psi.sites, tensors, [None] * 7, form=None, unit_cell_width=6)
    else:
        psi.convert_form(form)
    assert MPS.from_tenpy(qt.qubits(6), psi).overlap(state) == pytest.approx(1, abs=1e-12)


def test_bare_sites_are_in_our_order():
    charge = npc.LegCharge.from_qflat(npc.ChargeInfo([1], ["2 Sz"]), [1, -1])
    sites = [kinds.Site(npc.LegCharge.from_trivial(2)), kinds.Site(npc.LegCharge.from_trivial(2))]
    state = MPS.from_tenpy(qt.qubits(2), product_state(sites, [0, 1]))
    np.testing.assert_allclose(state.to_dense(), [0, 1, 0, 0])
    by_charge = product_state([kinds.Site(charge)] * 2, [0, 1])  # which TeNPy has sorted
    np.testing.assert_allclose(MPS.from_tenpy(qt.qubits(2), by_charge).to_dense(), [0, 1, 0, 0])


def test_a_site_of_ones_own_is_recognised_by_its_operators():
    rotor = qt.Site("rotor", {"Lz": np.diag([1.0, 0, -1]), "Flip": np.eye(3)[::-1].copy()})
    theirs = kinds.Site(npc.LegCharge.from_trivial(3), Lz=np.diag([0.0, -1, 1]))
    state = MPS.from_tenpy((rotor,) * 3, product_state([theirs] * 3, [0, 1, 2]))
    assert [state.product_expectations((((j, ("Lz",)),),))[0] for j in range(3)] == pytest.approx([0, -1, 1])
    assert_there_and_back(state)
    only_flips = (qt.Site("mirror", {"Flip": np.eye(2)[::-1].copy()}),) * 3
    assert_there_and_back(MPS.random(only_flips, 2, seed=1))


def test_sites_given_to_tenpy_belong_to_their_state():
    state = MPS.random(qt.qubits(3), 2, seed=1)
    mine = state.to_tenpy().sites[0]
    mine.add_op("Mine", np.diag([1.0, 0.0]))
    mine.change_charge(npc.LegCharge.from_trivial(2), permute=[1, 0])
    fresh = state.to_tenpy().sites[0]
    assert "Mine" not in fresh.opnames
    np.testing.assert_array_equal(fresh.Z.to_ndarray(), np.diag([1.0, -1.0]))


def grouped():
    psi = product_state([kinds.SpinHalfSite("Sz")] * 4, ["up"] * 4)
    psi.group_sites(2)
    return psi


def uniform(bc):
    return tenpy.MPS.from_product_state([kinds.SpinHalfSite(None)] * 2, ["up"] * 2, bc=bc, unit_cell_width=2)


def alike(site, length=2):
    return product_state([site] * length, [0] * length)


def nothing_left():
    psi = random_state([kinds.SpinHalfSite("Sz")] * 4, ["up", "down"] * 2)
    return psi.add(psi, 1, -1)


def with_first_tensor(factor):
    psi = alike(kinds.SpinHalfSite(None))
    psi.set_B(0, psi.get_B(0) * factor)
    return psi


@pytest.mark.parametrize(
    ("sites", "make", "message"),
    [
        (qt.qubits(2), lambda: np.zeros(4), "takes a tenpy.MPS, not a ndarray"),
        (qt.qubits(2), lambda: uniform("infinite"), "state is infinite; only finite chains"),
        (qt.qubits(2), lambda: uniform("segment"), "state is segment; only finite chains"),
        (qt.qubits(3), lambda: alike(kinds.SpinHalfSite()), "has 2 sites, the chain given for it 3"),
        (
            qt.qubits(2),
            lambda: PurificationMPS.from_infiniteT([kinds.SpinHalfSite()] * 2, unit_cell_width=2),
            "mixed state, with an ancilla",
        ),
        (qt.qubits(2), grouped, r"site 0 .*GroupedSite.*psi.group_split\(\)"),
        (qt.qubits(2), lambda: alike(kinds.FermionSite()), "site 0 .*FermionSite.*fermions are not qubits"),
        (qt.bosons(2, 1), lambda: alike(kinds.FermionSite(None)), "fermions are not qubits"),
        (qt.spins(2, 3), lambda: alike(kinds.SpinHalfFermionSite()), "fermions are not qubits"),
        (qt.spins(2, 2), lambda: alike(kinds.SpinHalfHoleSite()), "fermions are not qubits"),
        (qt.spins(2, 2), lambda: alike(kinds.SpinHalfSite()), "its dimension is 2, that of a spin-2/2 3"),
        (
            (qt.qubit(), qt.spin(2)),
            lambda: product_state([kinds.SpinHalfSite(None), kinds.SpinSite(1.5, None)], [0, 0]),
            "site 1 .*its dimension is 4",
        ),
        (qt.qubits(2), lambda: alike(kinds.BosonSite(1)), r"a boson is not a qubit; give qep_tn.boson\(1\)"),
        (qt.spins(2, 2), lambda: alike(kinds.BosonSite(2)), r"a boson is not a spin-2/2; give qep_tn.boson\(2\)"),
        (qt.bosons(2, 1), lambda: alike(kinds.SpinHalfSite()), r"add one, as site.add_op\('Number', ...\)"),
        (qt.spins(2, 2), lambda: alike(kinds.ClockSite(3, None)), r"add one, as site.add_op\('Sz', ...\)"),
        (
            qt.qubits(2),
            lambda: alike(kinds.Site(npc.LegCharge.from_trivial(2), X=np.eye(2)[::-1])),
            r"add one, as site.add_op\('Z' or 'Number' or 'Sz', ...\)",
        ),
        (
            qt.qubits(2),
            lambda: alike(kinds.Site(npc.LegCharge.from_trivial(2), Sz=np.diag([1, -1]))),
            "the values of its Sz are not those of a qubit",
        ),
        (
            (qt.Site("coarse", {"Level": np.diag([0.0, 0, 1]), "Hop": np.eye(3, k=1)}),) * 2,
            lambda: alike(kinds.Site(npc.LegCharge.from_trivial(3), Level=np.diag([0.0, 1, 5]))),
            "the values of its Level are not those of a coarse",
        ),
        (
            qt.qubits(2),
            lambda: alike(kinds.Site(npc.LegCharge.from_trivial(2), Sz=np.diag([-0.5, 0.5]), Sp=[[0, 0], [-1, 0]])),
            "its Sp is not that of a qubit",
        ),
        (qt.qubits(4), nothing_left, "the TeNPy state has norm .*nothing is left"),
        (qt.qubits(2), lambda: with_first_tensor(0.0), "the state has norm 0"),
        (qt.qubits(2), lambda: with_first_tensor(np.nan), "site 0 has entries that are not finite"),
    ],
)
def test_tenpy_states_without_a_counterpart_are_refused_in_one_line(sites, make, message):
    with pytest.raises(ValueError, match=message) as refusal:
        MPS.from_tenpy(sites, make())
    assert "\n" not in str(refusal.value)


def test_a_quimb_state_keeps_its_vector_whatever_the_order_of_its_indices():
    psi = qtn.MPS_rand_state(6, 5, dtype=complex, seed=2) * 3.0
    vector = psi.to_dense()[:, 0] / np.linalg.norm(psi.to_dense())
    other_orders = [psi, psi.copy(), psi.reindex({f"k{j}": f"p{j}" for j in range(6)}), psi.copy()]
    other_orders[1].permute_arrays("prl")
    other_orders[2].site_ind_id = "p{}"
    qtn.new_bond(other_orders[3][2], other_orders[3][3], size=1)  # two bonds between neighbours
    for network in other_orders:
        before = [tensor.inds for tensor in network]
        np.testing.assert_allclose(MPS.from_quimb(qt.qubits(6), network).to_dense(), vector, atol=1e-12)
        assert [tensor.inds for tensor in network] == before


@pytest.mark.parametrize("length", [1, 2, 5])
def test_chains_of_any_length_go_to_quimb_and_back(length):
    state = MPS.random((*qt.qubits(length - 1), qt.spin(2)) if length > 1 else qt.qubits(1), 3, seed=2, dtype=complex)
    theirs = state.to_quimb()
    assert not theirs.cyclic
    np.testing.assert_allclose(theirs.to_dense()[:, 0], state.to_dense(), atol=1e-12)
    np.testing.assert_allclose(MPS.from_quimb(state.sites, theirs).to_dense(), state.to_dense(), atol=1e-12)


def test_a_quimb_product_state_without_bonds_is_a_chain():
    psi = qtn.MPS_computational_state("0110")
    psi.squeeze_()
    expected = np.zeros(16)
    expected[0b0110] = 1
    np.testing.assert_allclose(MPS.from_quimb(qt.qubits(4), psi).to_dense(), expected)


def random_network(**options):
    return qtn.MPS_rand_state(4, 3, seed=1, **options)


def bonded_beyond_neighbours():
    psi = random_network()
    qtn.new_bond(psi[0], psi[2], size=1)
    return psi


@pytest.mark.parametrize(
    ("sites", "make", "message"),
    [
        (qt.qubits(4), lambda: random_network(cyclic=True), "the quimb state is cyclic"),
        (qt.qubits(3), random_network, "has 4 sites, the chain given for it 3"),
        ((*qt.qubits(3), qt.spin(2)), random_network, "site 3 of the quimb state has dimension 2, a spin-2/2 3"),
        (qt.qubits(4), lambda: qtn.MPO_rand(4, 3), "not a MatrixProductOperator"),
        (qt.qubits(4), lambda: random_network().to_dense(), "takes a quimb.tensor.MatrixProductState"),
        (qt.qubits(4), lambda: random_network().gate(np.eye(4), (0, 1)), "not one tensor for each site"),
        (
            qt.qubits(2),
            lambda: qtn.MatrixProductState([np.eye(2)] * 2, sites=[0, 2], L=3),
            "not one tensor for each site.*number sites from 0",
        ),
        (qt.qubits(4), bonded_beyond_neighbours, "bonds beyond neighbours"),
        (
            qt.qubits(4),
            lambda: qtn.MatrixProductState([0 * a for a in random_network().arrays]),
            "the state has norm 0",
        ),
        (qt.qubits(4), lambda: random_network() * np.inf, "entries that are not finite"),
    ],
)
def test_quimb_states_without_a_counterpart_are_refused_in_one_line(sites, make, message):
    with pytest.raises(ValueError, match=message) as refusal:
        MPS.from_quimb(sites, make())
    assert "\n" not in str(refusal.value)
