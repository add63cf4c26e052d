"""Scaling benchmarks: what is measured, what is left out, killed and resumed."""

import time
from dataclasses import dataclass

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.cli import main
from qep_tn.runs.folder import RunFolder, load
from qep_tn.tasks.benchmark import benchmark, powers_of
from qep_tn.tasks.report import benchmark_table

EXACT = qt.ExactDiagonalization()


def ising(L):
    H = qt.models.transverse_field_ising(L)
    return H, {"h": 1.4, "J": 1.0}, qt.Expectation(X(L // 2 - 1) * X(L // 2))


def pinned(L):
    """A chain that is no free fermions: fields along two directions."""
    H = qt.Hamiltonian(
        qt.qubits(L),
        {"h": -sum(X(j) for j in range(L)), "z": -sum(Z(j) for j in range(L))},
        fixed=-sum(Z(j) * Z(j + 1) for j in range(L - 1)),
    )
    return H, {"h": 0.9, "z": 0.2}, qt.Expectation(Z(L // 2))


def measured(problem=ising, lengths=(4, 6), solvers=(EXACT,), repeat=1, **settings):
    return benchmark(problem, lengths, solvers=solvers, repeat=repeat, progress=False, **settings)


@dataclass(frozen=True)
class Sleepy(qt.Solver):
    """Exact, but takes 20 ms a site for every ground state."""

    def ground_state(self, H, theta, start=None):
        time.sleep(0.02 * len(H.sites))
        return EXACT.ground_state(H, theta)


def test_every_solver_is_measured_at_every_length_against_the_best_reference():
    result = measured(solvers=(EXACT, qt.NumbaDMRG()))
    rows = result.history
    assert rows["L"].values.tolist() == [4, 4, 6, 6]
    assert rows["solver"].values.tolist() == ["ExactDiagonalization", "NumbaDMRG"] * 2
    assert set(rows["reference"].values) == {"free fermions"}
    for name in ("ground_state", "expectation", "gradient", "warm_gradient"):
        assert (rows[f"{name}_seconds"] > 0).all()
    assert (abs(rows["energy_error"]) < 1e-4).all()
    assert (rows["gradient_error"][::2] < 1e-8).all()
    assert (rows["gradient_error"] < 1e-2).all()
    assert rows["trustworthy"].all()
    assert (rows["memory"] > 10).all()
    assert not result.left_out
    table = benchmark_table(result)
    assert "free fermions" in table
    assert len(table.splitlines()) == 6


def test_reference_of_a_model_that_is_no_free_fermions_is_exact_or_the_finest_run(monkeypatch):
    small = measured(pinned, (4,), (qt.NumbaDMRG(),)).history
    assert small["reference"].values.tolist() == ["exact diagonalization"]
    assert float(small["gradient_error"][0]) < 1e-2
    monkeypatch.setattr("qep_tn.tasks.benchmark._REFERENCE_DIMENSION", 1)
    finest = measured(pinned, (4,), (EXACT,)).history
    assert finest["reference"].values.tolist() == ["NumbaDMRG, rtol 0.0003"]
    assert 1e-12 < float(finest["gradient_error"][0]) < 1.5 * float(finest["reference_error"][0]) < 1e-3


def test_solver_is_measured_where_nothing_tells_its_error(monkeypatch):
    monkeypatch.setattr("qep_tn.tasks.benchmark._REFERENCE_DIMENSION", 1)
    rows = measured(pinned, (2,), (EXACT,)).history  # too short for NumbaDMRG, the finest run
    assert rows["reference"].values.tolist() == ["none"]
    assert np.isnan(rows["gradient_error"].values).all()
    assert (rows["gradient_seconds"] > 0).all()


def test_power_of_a_time_is_found():
    result = measured(lengths=(2, 3, 4, 5))
    rows = result.history
    rng = np.random.default_rng(0)
    noise = np.exp(0.05 * rng.normal(size=(500, 4)))
    found = []
    for factor in noise:
        rows["gradient_seconds"].values[:] = 0.01 * rows["L"].values ** 2.5 * factor
        found.append(powers_of(rows)["ExactDiagonalization", "gradient"])
    exponents, errors = (np.array([getattr(power, name) for power in found]) for name in ("exponent", "error"))
    assert exponents.mean() == pytest.approx(2.5, abs=0.01)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(exponents.std(), rel=0.15)


def test_what_would_take_too_long_is_left_out_with_a_word():
    """Ten ground states of 0.08 s; twice the sites are taken to need eight times as long, which is above the limit."""
    result = measured(lengths=(4, 8), solvers=(Sleepy(),), repeat=5, limit=1.0)
    rows = result.history
    assert rows["repeats"].values[0] < 5
    assert result.left_out[0].startswith("Sleepy at L = 8: time: about")
    assert np.isnan(rows["gradient_seconds"].values[1])
    assert "left out: Sleepy at L = 8" in benchmark_table(result)


def test_solver_that_cannot_take_a_length_is_left_out_and_others_go_on():
    result = measured(pinned, (4, 5), (qt.FreeFermion(), EXACT))
    assert [line.split(" at ")[0] for line in result.left_out] == ["FreeFermion", "FreeFermion"]
    assert result.history["repeats"].values.tolist() == [0, 1, 0, 1]


def test_solver_that_cannot_take_the_shortest_chain_is_measured_on_others():
    result = measured(pinned, (2, 4), (qt.NumbaDMRG(),))
    assert result.left_out[0].startswith("NumbaDMRG at L = 2: NumbaDMRG needs a chain of at least 3 sites")
    assert result.history["repeats"].values.tolist() == [0, 1]


def test_warm_gradient_begins_with_another_state(monkeypatch):
    from qep_tn.tasks import benchmark as task

    found, original = [], task.silent_gradient

    def spy(H, theta, *settings):
        found.append(EXACT.ground_state(H, theta))
        return original(H, theta, *settings)

    monkeypatch.setattr(task, "silent_gradient", spy)
    task._once(task.ScalingProblem(*ising(6)), EXACT, 1e-2)
    assert 1e-6 < 1 - found[0].fidelity(found[1]) < 0.1


def test_gradient_that_vanishes_has_no_error_of_many_orders():
    def symmetric(L):
        H, theta, _ = ising(L)
        return H, theta, qt.Expectation(Z(L // 2))

    assert (measured(symmetric, (4,), (EXACT, qt.NumbaDMRG())).history["gradient_error"] < 1e-2).all()


def test_longer_chains_of_another_model_are_refused(tmp_path):
    run = RunFolder.create(tmp_path / "run")
    measured(run=run)
    run.close()

    def other(L):
        H, theta, loss = ising(L)
        return H, theta if L == 4 else {"h": 1.5, "J": 1.0}, loss

    again = RunFolder.create(tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match=r"L = 6 in .* made with other settings: theta"):
        measured(other, (4, 6, 8), run=again)
    again.close()


def test_benchmark_cut_short_goes_on_and_takes_longer_chains(tmp_path, monkeypatch):
    from qep_tn.tasks import benchmark as task

    original, calls = task._Measurements.advance, []

    def cut(self):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return original(self)

    monkeypatch.setattr(task._Measurements, "advance", cut)
    solvers = (EXACT, qt.NumbaDMRG())
    run = RunFolder.create(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        measured(solvers=solvers, run=run)
    run.close()
    saved = load(tmp_path / "run")
    assert saved.sizes["step"] == 3
    monkeypatch.setattr(task._Measurements, "advance", original)
    for lengths in ((4, 6), (4, 6, 7)):
        again = RunFolder.create(tmp_path / "run", resume=True)
        result = measured(lengths=lengths, solvers=solvers, run=again)
        again.close()
        assert result.history["L"].values.tolist() == [L for L in lengths for _ in solvers]
        assert np.array_equal(result.history["gradient_seconds"].values[:3], saved["gradient_seconds"].values)
    other = RunFolder.create(tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match="lengths and solvers do not begin as there"):
        measured(lengths=(4, 5), solvers=solvers, run=other)
    other.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": ()}, "lengths = "),
        ({"lengths": (6, 4)}, "the shortest first"),
        ({"solvers": ()}, "solvers are none"),
        ({"solvers": (EXACT, qt.ExactDiagonalization(seed=1))}, "of different kinds"),
        ({"repeat": 0}, "repeat is 0"),
        ({"limit": 0.0}, "limit is 0.0"),
        ({"rtol": 2.0}, "rtol = 2.0"),
        ({"solvers": (qt.ExactDiagonalization(sector={"Sz": 0}),)}, "ground states of the whole space; .* sector out"),
        (
            {"solvers": (qt.FullDiagonalization(temperature=0.4),)},
            "ground states of the whole space; .* temperature out",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        measured(**settings)


CONFIG = """
[model]
name = "transverse_field_ising"
[benchmark]
lengths = [4, 6]
solvers = ["exact", "free_fermion"]
objective = "X(L // 2) * X(L // 2 - 1)"
repeat = 2
"""


def test_command_measures_draws_and_takes_longer_chains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain.toml").write_text(CONFIG)
    assert main(["benchmark", "chain.toml"]) == 0
    printed = capsys.readouterr().out
    assert "FreeFermion" in printed
    assert (tmp_path / "runs/chain-benchmark/figures/scaling.png").exists()
    assert main(["benchmark", "chain.toml", "--resume", "--set", "benchmark.lengths=[4, 6, 8]"]) == 0
    assert "gradient grows as L^(" in capsys.readouterr().out
    assert main(["plot", "runs/chain-benchmark"]) == 0


def test_command_says_why_nothing_was_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain.toml").write_text(CONFIG.replace("transverse_field_ising", "xxz").replace('"exact", ', ""))
    assert main(["benchmark", "chain.toml"]) == 0
    assert "left out: FreeFermion at L = 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("benchmark.lengths=[]", "[benchmark] lengths"),
        ("benchmark.lengths=[8, 4]", "the shortest first"),
        ("benchmark.solvers=['numbar']", "[benchmark] solvers"),
        ("benchmark.objective=X(9)", "[benchmark] objective"),
        ("benchmark.limit=-1", "[benchmark] limit"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(tmp_path, monkeypatch, capsys, override, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain.toml").write_text(CONFIG)
    assert main(["benchmark", "chain.toml", "--set", override]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
