"""Scans of a plane against exact diagonalization, perturbation theory and free fermions; and the command line's."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import eigh

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.cli import main
from qep_tn.figures import boundary
from qep_tn.figures import scan as maps
from qep_tn.runs.folder import RunFolder, load
from qep_tn.states.ground_state import SolveStatus

AXES, WINDOW = ("g_x", "g_zz"), {"g_x": (0.6, 2.4), "g_zz": (0.2, 1.1)}
OBSERVABLES = {"xx": X(2) * X(5), "order": Z(1) * Z(6)}


def scan(length=8, **options):
    H = qt.models.cluster_ising(length)
    theta = {"g_x": 1.0, "g_zz": 1.0, "g_zxz": 0.7}
    options = {"shape": (5, 3), "observables": OBSERVABLES, "progress": False} | options
    return H, theta, qt.phase_diagram(H, theta, AXES, WINDOW, **options)


@pytest.mark.parametrize("solver", [None, qt.NumbaDMRG()], ids=["exact", "numba"])
def test_every_point_is_the_exact_ground_state(solver):
    H, theta, found = scan(solver=solver, rtol=1e-3)
    assert found["energy"].dims == AXES
    for point in np.random.default_rng(1).permutation(15)[:6]:  # in any order: each is independent of the others
        i, j = divmod(point, 3)
        here = theta | {name: float(found[name][n]) for name, n in zip(AXES, (i, j), strict=True)}
        energies, vectors = eigh(H.to_sparse(here).toarray())
        at = found.isel(g_x=i, g_zz=j)
        assert at["energy"] == pytest.approx(energies[0], abs=1e-8)  # cutoff 1e-5, squared, times couplings
        for name, operator in OBSERVABLES.items():
            matrix = qt.Hamiltonian(H.sites, {"o": operator}).to_sparse({"o": 1.0})
            assert at[name] == pytest.approx(vectors[:, 0] @ matrix @ vectors[:, 0], abs=1e-4)
        schmidt = np.linalg.svd(vectors[:, 0].reshape(16, 16), compute_uv=False) ** 2
        schmidt = schmidt[schmidt > 1e-20]
        assert at["entropy"] == pytest.approx(-(schmidt * np.log(schmidt)).sum(), abs=1e-4)
    assert found["converged"].all()


def test_points_do_not_depend_on_where_they_start_from():
    H, theta, found = scan(12, solver=qt.NumbaDMRG(cutoff=1e-6))
    for i, j in [(4, 0), (0, 1), (2, 2)]:
        here = theta | {name: float(found[name][n]) for name, n in zip(AXES, (i, j), strict=True)}
        cold = qt.NumbaDMRG(cutoff=1e-6).ground_state(H, here)
        at = found.isel(g_x=i, g_zz=j)
        assert at["energy"] == pytest.approx(cold.energy, abs=1e-9)
        assert at["entropy"] == pytest.approx(cold.state.entanglement_entropy()[5], abs=1e-6)


def test_fidelity_susceptibility_is_that_of_perturbation_theory():
    H = qt.models.cluster_ising(8)
    theta = {"g_x": 1.0, "g_zz": 0.5, "g_zxz": 0.7}
    window = {"g_x": (0.99, 1.01), "g_zz": (0.5, 0.6)}
    found = qt.phase_diagram(H, theta, AXES, window, shape=(3, 2), progress=False)
    energies, vectors = eigh(H.to_sparse(theta).toarray())
    A = H.to_sparse({"g_x": 1.0, "g_zz": 0.0, "g_zxz": 0.0})
    elements = vectors[:, 1:].T @ (A @ vectors[:, 0])
    expected = (elements**2 / (energies[1:] - energies[0]) ** 2).sum()
    # pairs are 0.01 apart, and the error of their mean goes as the square
    assert found["fidelity_susceptibility"][1, 0] == pytest.approx(expected, rel=1e-3)


def test_fidelity_susceptibility_of_matrix_product_states_is_that_of_vectors():
    exact, found = (scan(solver=solver, rtol=1e-3)[2]["fidelity_susceptibility"] for solver in (None, qt.NumbaDMRG()))
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-7)


def test_gap_is_known_to_exact_solvers_and_found_for_matrix_product_states():
    gaps = [
        scan(6, gap=True, shape=(2, 2), observables={}, solver=solver)[2]
        for solver in (
            qt.ExactDiagonalization(),
            qt.FreeFermion(),
            *(S(cutoff=1e-6) for S in (qt.NumbaDMRG, qt.QuimbDMRG)),
        )
    ]
    with ThreadPoolExecutor(2) as threads:
        gaps.append(
            scan(6, gap=True, shape=(2, 2), observables={}, solver=qt.NumbaDMRG(cutoff=1e-6), executor=threads)[2]
        )
    assert gaps[2].drop_vars("seconds").identical(gaps[-1].drop_vars("seconds"))
    for found in gaps:
        np.testing.assert_allclose(found["gap"], gaps[0]["gap"], atol=1e-8)
        assert found["gap_converged"].all()


def test_free_fermions_have_energies_and_observables_alone():
    _, _, exact = scan(observables={"xx": X(2) * X(5)})
    _, _, found = scan(observables={"xx": X(2) * X(5)}, solver=qt.FreeFermion())
    for name in ("energy", "xx"):
        np.testing.assert_allclose(found[name], exact[name], atol=1e-9)
    assert np.isnan(found["entropy"]).all()
    assert np.isnan(found["fidelity_susceptibility"]).all()


def test_everything_has_a_name_and_a_unit():
    _, _, found = scan(gap=True)
    for variable in found.variables.values():
        assert set(variable.attrs) == {"long_name", "units"}
    assert found.attrs == {"task": "phase_diagram", "plane": list(AXES), "length": 8}
    assert float(found["g_zxz"]) == 0.7


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("solver", [qt.NumbaDMRG(), qt.ExactDiagonalization()], ids=["numba", "exact"])
def test_resumed_scan_ends_as_the_uninterrupted_one_to_the_last_bit(tmp_path, monkeypatch, solver):
    run = RunFolder.create(tmp_path / "whole")
    scan(solver=solver, run=run, shape=(4, 4))
    run.close()

    solve, solved = type(solver).ground_state, []

    def until_killed(self, *args, **options):
        solved.append(1)
        if len(solved) == 10:  # in the third row
            raise _KilledError
        return solve(self, *args, **options)

    monkeypatch.setattr(type(solver), "ground_state", until_killed)
    run = RunFolder.create(tmp_path / "killed")
    with pytest.raises(_KilledError):
        scan(solver=solver, run=run, shape=(4, 4))
    run.close()
    assert load(tmp_path / "killed").sizes == {"g_x": 4, "g_zz": 2}
    run = RunFolder.create(tmp_path / "killed", resume=True)
    scan(solver=solver, run=run, shape=(4, 4))
    run.close()
    assert len(solved) == 10 + 8  # two rows were there
    assert (tmp_path / "killed/history.nc").read_bytes() == (tmp_path / "whole/history.nc").read_bytes()
    assert json.loads((tmp_path / "killed/summary.json").read_text())["converged"]


def test_a_gap_that_did_not_converge_counts_in_the_summary(tmp_path, monkeypatch):
    solved = qt.NumbaDMRG.excited_state

    def unconverged(*arguments):
        return replace(solved(*arguments), status=SolveStatus.NO_EIGENSTATE)

    monkeypatch.setattr(qt.NumbaDMRG, "excited_state", unconverged)
    run = RunFolder.create(tmp_path / "run")
    _, _, found = scan(6, gap=True, shape=(2, 2), observables={}, solver=qt.NumbaDMRG(), run=run)
    run.close()
    assert found["converged"].all()
    assert np.isfinite(found["gap"]).all()
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert not summary["converged"]
    assert summary["not_converged"] == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": (1, 3)}, "shape = .*each at least 2"),
        ({"shape": (4.0, 3)}, "shape = .*whole numbers"),
        ({"observables": {"gap": X(1)}}, "observable 'gap' cannot be recorded"),
        ({"observables": {"g_x": X(1)}}, "parameter 'g_x' cannot be recorded"),
        ({"observables": {"far": X(8)}}, "the observable 'far'"),
        ({"rtol": 0.0}, "rtol = 0"),
    ],
)
def test_mistakes_are_named_in_one_line(change, said):
    with pytest.raises(ValueError, match=said) as error:
        scan(**change)
    assert "\n" not in str(error.value)


def test_parameter_whose_name_is_a_variable_is_refused():
    H = qt.Hamiltonian(qt.qubits(4), {"entropy": X(0), "g": Z(1)})
    with pytest.raises(ValueError, match="parameter 'entropy' cannot be recorded"):
        qt.phase_diagram(H, {"entropy": 1.0, "g": 1.0}, ("entropy", "g"), {"entropy": (0, 1), "g": (0, 1)})


CONFIG = """\
[model]
name = "cluster_ising"
L = 6
[parameters]
g_x = 0.8
g_zz = 1.0
[boundary]
plane = ["g_x", "g_zz"]
window = { g_x = [0.2, 2.6], g_zz = [0.4, 1.6] }
observable = "Z(2) * X(3) * Z(4)"
search = 8
sharpness = 100.0
points = 3
scan = [5, 4]
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plane.toml").write_text(CONFIG)


def test_boundary_is_drawn_on_its_scan(config, monkeypatch):
    drawn = []
    monkeypatch.setattr("qep_tn.commands.boundary.plot_run", drawn.append)
    assert main(["boundary", "plane.toml", "--out", "run"]) == 0
    assert drawn == [Path("run")] * 2  # the trace alone, and on its scan
    found = load("run/scan")
    assert found.sizes == {"g_x": 5, "g_zz": 4}
    assert found["observable"].dims == AXES
    values = maps.behind_trace(Path("run"), "entropy")
    with_map, without = (boundary.boundaries(load("run"), scan=values) for values in (values, None))
    assert len(with_map.axes) == 2  # one is the colour bar
    assert len(without.axes) == 1
    np.testing.assert_array_equal(with_map.axes[0].collections[0].get_array(), found["entropy"].values.T)


def test_figures_of_a_trace_and_of_a_scan_are_drawn_from_their_folders(config, blank):
    assert main(["boundary", "plane.toml", "--out", "run", "--set", "boundary.scan_variable=observable"]) == 0
    for folder, figure in (("run", "boundaries"), ("run/scan", "entropy"), ("run/scan", "observable")):
        file = Path(folder, "figures", f"{figure}.png")
        file.unlink(missing_ok=True)
        assert main(["plot", folder]) == 0
        assert file.exists()


@pytest.mark.parametrize("variable", ["entropy", "fidelity_susceptibility", "xx"])
def test_map_has_the_value_of_a_point_where_the_point_is(variable):
    _, _, found = scan(shape=(6, 4))
    figure = maps.figures(found)[variable]
    figure.draw_without_rendering()
    ax, bar = figure.axes
    (mesh,) = ax.collections
    edges = mesh.get_coordinates()
    centres = (edges[1:, 1:] + edges[:-1, :-1]) / 2
    np.testing.assert_allclose(centres[2, 3], [found["g_x"][3], found["g_zz"][2]])
    np.testing.assert_array_equal(mesh.get_array(), found[variable].values.T)
    labels = [text.get_window_extent() for text in (ax.xaxis.label, ax.yaxis.label, bar.yaxis.label)]
    assert not any(a.overlaps(b) for n, a in enumerate(labels) for b in [*labels[:n], ax.bbox])


def test_map_leaves_out_what_is_not_finite():
    _, _, found = scan(shape=(6, 4))
    found["fidelity_susceptibility"][2, 1] = np.inf  # of orthogonal states
    figure = maps.figures(found)["fidelity_susceptibility"]
    figure.draw_without_rendering()
    assert figure.axes[0].collections[0].get_array().mask.sum() == 1


def test_interrupted_scan_behind_a_trace_is_resumed(config, capsys, monkeypatch):
    solve, calls = qt.ExactDiagonalization.ground_state, []

    def counted(self, *args, **options):
        calls.append(1)
        return solve(self, *args, **options)

    monkeypatch.setattr(qt.ExactDiagonalization, "ground_state", counted)
    monkeypatch.setattr("qep_tn.figures.run.plot_run", lambda folder: [])
    assert main(["boundary", "plane.toml", "--out", "whole"]) == 0
    total = len(calls)

    def until_interrupted(self, *args, **options):
        if len(calls) == 2 * total - 7:  # in the third row of the scan
            raise KeyboardInterrupt
        return counted(self, *args, **options)

    monkeypatch.setattr(qt.ExactDiagonalization, "ground_state", until_interrupted)
    assert main(["boundary", "plane.toml", "--out", "run"]) == 130
    monkeypatch.setattr(qt.ExactDiagonalization, "ground_state", counted)
    before = len(calls)
    assert main(["boundary", "plane.toml", "--out", "run", "--resume"]) == 0
    assert len(calls) - before == 10  # the two rows that were not complete
    for file in ("history.nc", "scan/history.nc"):
        assert Path("run", file).read_bytes() == Path("whole", file).read_bytes()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("boundary.scan=[5]", "[boundary] scan: must be two numbers of grid points, each 2 or more"),
        ("boundary.scan=[5, 1]", "[boundary] scan: must be two numbers of grid points, each 2 or more"),
        ("boundary.scan_variable='gap'", "must be 'entropy', 'fidelity_susceptibility' or 'observable', not 'gap'"),
        ("solver.name='free_fermion'", "free_fermion has no entropy; take another solver"),
    ],
)
def test_mistakes_in_a_scan_are_refused_before_it_runs(config, capsys, setting, said):
    assert main(["boundary", "plane.toml", "--out", "run", "--set", setting]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("run").exists()


def test_scan_of_an_observable_needs_one(config, capsys):
    Path("plane.toml").write_text(CONFIG.replace("observable =", "# ") + 'scan_variable = "observable"\n')
    assert main(["boundary", "plane.toml", "--out", "run"]) == 2
    assert "[boundary] scan_variable: 'observable', but there is none" in capsys.readouterr().err
