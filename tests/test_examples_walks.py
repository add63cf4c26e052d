"""The examples of walks, boundaries and comparisons run, at reduced size, and print what is exact."""

import re
from pathlib import Path

import numpy as np
import pytest

from examples import boundary_128, compare_with_exact, explore_10, explore_128, finite_size
from qep_tn.cli import main
from qep_tn.models.published import ten_qubits
from qep_tn.runs.folder import load

EXAMPLES = Path(__file__).parents[1] / "examples"
FAST = "solver.name=free_fermion"  # the examples' chains are exactly solvable
NUMBER = r"(-?[\d.]+(?:e[-+]?\d+)?)"


def printed(capsys, script, *arguments):
    script.main(list(arguments))
    return capsys.readouterr().out


def beside_exact(text):
    """Every `value +- error  exact value` of a script's output, (lines, 3)."""
    return np.array(re.findall(rf"{NUMBER} \+- +{NUMBER} +exact +{NUMBER}", text), float)


def run(tmp_path, verb, name, *settings):
    out = tmp_path / "run"
    options = [option for setting in settings for option in ("--set", setting)]
    return main([verb, str(EXAMPLES / f"{name}.toml"), "--out", str(out), *options]), out


# --- the published exploration


def test_published_chain_leaves_out_one_triple():
    assert len(ten_qubits().fixed.terms) == 7
    assert all(0 not in dict(product) for product in ten_qubits().fixed.terms)


def test_ten_qubits_walk_as_published(tmp_path):
    status, out = run(tmp_path, "explore", "explore_10", "explore.steps=10")
    assert status == 3  # so strong a nudge is not to be trusted
    history = load(out)
    # rows 4 and 10 of the published run, phase exploration 1
    published = {4: (-0.4874733011942562, 0.3022062620780616), 10: (-1.028837283648389, 0.0459797723827263)}
    for row, place in published.items():
        np.testing.assert_allclose([history["g_x"][row], history["g_zz"][row]], place, atol=1e-7)


def test_ten_qubits_script_prints_slopes_within_their_error_bars(capsys):
    rows = beside_exact(printed(capsys, explore_10, "--steps", "10"))
    assert len(rows) == 4
    assert (abs(rows[:, 0] - rows[:, 2]) < rows[:, 1]).all()


# --- long chains


def test_long_walk_prints_the_exact_values(capsys, tmp_path):
    figure = tmp_path / "walk.png"
    text = printed(capsys, explore_128, "--length", "24", "--steps", "8", "--figure", str(figure))
    assert "phases: cluster phase, ferromagnet, paramagnet" in text
    rows = beside_exact(text)
    assert len(rows) == 3
    assert (abs(rows[:, 0] - rows[:, 2]) <= rows[:, 1] + 1e-6).all()  # six digits are printed
    assert figure.stat().st_size > 10_000


def test_traced_boundaries_are_on_the_exact_ridges(capsys, tmp_path):
    figure = tmp_path / "boundaries.png"
    text = printed(capsys, boundary_128, "--length", "48", "--step", "0.2", "--figure", str(figure))
    within, points = map(int, re.search(r"(\d+)% of (\d+) points within their error bars", text).groups())
    assert points >= 12
    assert within >= 90
    # a ridge of L sites is off by about 3.4/L, as at L = 128
    assert float(re.search(r"at most (\S+) away", text).group(1)) < 4 / 48
    assert figure.exists()


def test_extrapolated_boundaries_are_those_of_the_infinite_chain(capsys):
    arguments = ["--lengths", "24", "32", "48", "--step", "0.3", "--processes", "1"]
    text = printed(capsys, finite_size, *arguments)
    within, points = map(int, re.search(r"(\d+)% of (\d+) limits within their error bars", text).groups())
    assert points >= 6
    assert within >= 80
    rows = np.array(re.findall(rf"^ *{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER}   g_\w+, {NUMBER}", text, re.M), float)
    assert len(rows) == points
    assert np.median(abs(rows[:, 3])) < 0.1 * np.median(abs(rows[:, 4]))  # far nearer than the longest chain's


def test_solvers_agree_with_the_exact_gradient(capsys):
    text = printed(capsys, compare_with_exact, "--short", "6", "--length", "6")
    rows = re.findall(rf"^(\w+) +{NUMBER} +{NUMBER} +(\d+)%", text, re.M)
    assert [name for name, *_ in rows] == ["ExactDiagonalization", "FreeFermion"] + 2 * [
        "NumbaDMRG", "TenpyDMRG", "QuimbDMRG",
    ]  # fmt: skip
    for _, error, estimated, _ in rows:
        assert float(error) < 1e-4  # what qt.gradient is asked for
        assert float(error) < 2 * float(estimated) + 1e-12


# --- configurations


@pytest.mark.parametrize(
    ("verb", "name", "settings"),
    [
        ("explore", "explore_128", ["model.L=16", "explore.objective=abs(X(6) * X(10))", "explore.steps=2"]),
        (
            "boundary",
            "boundary_128",
            ["model.L=48", "boundary.observable=Z(23) * X(24) * Z(25)", "boundary.step=0.3", FAST],
        ),
        ("boundary", "finite_size", ["boundary.lengths=[32, 48]", "boundary.step=0.3", FAST]),
        ("verify", "compare_with_exact", ["solver.name=numba"]),
    ],
)
def test_configuration_runs(verb, name, settings, tmp_path):
    status, out = run(tmp_path, verb, name, *settings)
    assert status == 0
    assert (out / "summary.json").exists()
    if verb == "boundary":
        curves = load(out)
        assert curves.sizes["curve"] == 2  # paramagnet | ferromagnet | cluster phase
