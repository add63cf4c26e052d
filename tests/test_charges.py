"""TeNPy with a conserved charge against the same without."""

import numpy as np
import pytest
from chains import random_three_body, spin_one

import qep_tn as qt
from qep_tn import MPS, C, Cdag, Create, Destroy, Number, Sx, Sy, Sz, X
from qep_tn.solvers import tenpy_engine
from qep_tn.solvers.tenpy_charges import charged_model, charged_state


def random_xxz(length, rng):
    """An XXZ chain with random couplings in a random field, and a complex exchange: (Hamiltonian, theta)."""
    exchange = [Sx(j) * Sx(j + 1) + Sy(j) * Sy(j + 1) for j in range(length - 1)]
    twist = sum(Sx(j) * Sy(j + 1) - Sy(j) * Sx(j + 1) for j in range(length - 1))
    H = qt.Hamiltonian(
        qt.qubits(length), {"J": exchange, "D": twist, "h": [Sz(j) for j in range(length)]},
        fixed=0.5 * sum(Sz(j) * Sz(j + 1) for j in range(length - 1)) + 0.3,
    )  # fmt: skip
    return H, {"J": rng.uniform(0.7, 1.3, length - 1), "D": 0.4, "h": rng.normal(size=length)}


def bose_hubbard(length, rng):
    hop = [Create(j) * Destroy(j + 1) + Create(j + 1) * Destroy(j) for j in range(length - 1)]
    U = sum(Number(j) * Number(j) for j in range(length))
    H = qt.Hamiltonian(qt.bosons(length, 2), {"t": hop, "mu": sum(Number(j) for j in range(length))}, fixed=U)
    return H, {"t": -rng.uniform(0.8, 1.2, length - 1), "mu": -1.3}


def t_V(length, rng):
    H = qt.models.spinless_fermions(length, local=True)
    pair_hop = Cdag(0) * Cdag(3) * C(1) * C(4) + Cdag(4) * Cdag(1) * C(3) * C(0)
    theta = {"t": rng.uniform(0.8, 1.2, length - 1), "V": rng.normal(size=length - 1), "mu": rng.normal(size=length)}
    return H.with_parameter("pair", [pair_hop]), theta | {"pair": [0.7]}


def electrons(length, rng):
    H = qt.models.fermi_hubbard(length, local=True, periodic=True)
    return H, {"t": rng.uniform(0.8, 1.2, length), "U": np.full(length, 3.0), "mu": rng.normal(size=length) + 1.5,
               "h": rng.normal(size=length)}  # fmt: skip


FAMILIES = {
    "xxz": lambda rng: random_xxz(6, rng),
    "spin-1": lambda rng: spin_one(4, rng),
    "bosons": lambda rng: bose_hubbard(4, rng),
    "fermions": lambda rng: t_V(6, rng),
    "electrons": lambda rng: electrons(4, rng),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_energies_and_gradients_do_not_depend_on_the_use_of_a_charge(family, rng, monkeypatch):
    H, theta = FAMILIES[family](rng)
    exact = qt.ExactDiagonalization().ground_state(H, theta)
    loss = qt.Expectation(H.couplings[1])
    expected = H.flatten(
        qt.gradient(H, theta, loss, solver=qt.ExactDiagonalization(), scheme="linear-response").gradient
    )
    monkeypatch.setattr(tenpy_engine, "CHARGES_HELP_FROM", 4)
    used = []
    monkeypatch.setattr(tenpy_engine, "charged_state", lambda *a: used.append(charged_state(*a)) or used[-1])
    result = qt.gradient(H, theta, loss, solver=qt.TenpyDMRG())
    assert any(psi is not None for psi in used)
    assert result.free.energy == pytest.approx(exact.energy, abs=1e-9)
    np.testing.assert_allclose(H.flatten(result.gradient), expected, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_state_of_definite_charge_keeps_its_vector(family, rng):
    H, theta = FAMILIES[family](rng)
    state = qt.TenpyDMRG().ground_state(H, theta).state
    network = charged_model(H, theta)
    charged = charged_state(state, network.lat.mps_sites())
    back = MPS.from_tenpy(H.sites, charged)
    assert abs(back.overlap(state)) ** 2 == pytest.approx(1, abs=1e-9)
    assert network.H_MPO.expectation_value(charged) == pytest.approx(
        qt.TenpyDMRG().ground_state(H, theta).energy, abs=1e-8
    )


def test_what_does_not_conserve_a_charge_has_none(rng):
    assert charged_model(*random_three_body(6, rng)) is None
    H, theta = random_xxz(6, rng)
    tilted = H.with_parameter("tilt", [X(2)])
    assert charged_model(tilted, theta | {"tilt": [0.1]}) is None
    assert charged_model(tilted, theta | {"tilt": [0.0]}) is not None


def test_a_superposition_of_sectors_has_no_charge(rng):
    H, theta = random_xxz(6, rng)
    network = charged_model(H, theta)
    assert charged_state(MPS.random(H.sites, 4, seed=1), network.lat.mps_sites()) is None
