"""The examples of platforms run, at reduced size, and print what is published beside what is found."""

import re
import sys
from pathlib import Path

import pytest

from examples import bose_hubbard, ion_chain, kitaev_50x2, rydberg_51, transmon_array
from qep_tn.cli import main
from qep_tn.runs.folder import load

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("verb", "name", "settings"),
    [
        ("gradient", "transmon_array", ["model.L=6"]),
        ("gradient", "bose_hubbard", ["model.L=6"]),
        ("sensitivity", "ion_chain", ["model.L=12", "sensitivity.observable=X(5) * X(6)", "sensitivity.steps=2"]),
        (
            "explore",
            "kitaev_50x2",
            ["model.rungs=4", "explore.steps=1", "explore.objective=abs(Y(0) * X(1) * Z(2) * Z(3) * X(4) * Y(5))"],
        ),
        (
            "boundary",
            "rydberg_51",
            [
                "model.L=9", "boundary.step=0.4", "boundary.sharpness=40",
                "boundary.observable=sum(Number(2 * j) for j in range(5)) - sum(Number(2 * j + 1) for j in range(4))",
            ],
        ),
    ],
)  # fmt: skip
def test_configuration_runs(verb, name, settings, tmp_path, blank):
    arguments = [verb, str(EXAMPLES / f"{name}.toml"), "--out", str(tmp_path / "run")]
    assert main([*arguments, *(a for s in settings for a in ("--set", s))]) == 0
    assert load(tmp_path / "run").sizes


def printed(monkeypatch, capsys, script, *arguments):
    monkeypatch.setattr(sys, "argv", ["script", *arguments])
    script.main()
    return capsys.readouterr().out


def test_ions_have_a_transition_and_a_slope_along_alpha(monkeypatch, capsys, tmp_path):
    figure = tmp_path / "ions.png"
    text = printed(monkeypatch, capsys, ion_chain, "--ions", "12", "--figure", str(figure))
    assert figure.stat().st_size > 10_000
    assert re.search(r"steepest at B = -1\.\d+ \+- 0\.0\d+; published for 128 ions: -1\.3822", text)
    assert "gradient of 78 couplings" in text
    assert "trustworthy: True" in text


def test_bosons_have_the_energy_of_the_series(monkeypatch, capsys, tmp_path):
    figure = tmp_path / "bosons.png"
    text = printed(monkeypatch, capsys, bose_hubbard, "--sites", "12", "--figure", str(figure))
    assert figure.stat().st_size > 10_000
    rows = re.findall(r"t/U = (\S+): energy a site (\S+), series (\S+)", text)
    assert len(rows) == 5
    for t, energy, series in rows:
        assert float(energy) == pytest.approx(float(series), abs=1e-7 + 5e3 * float(t) ** 12)  # of the next order


def test_photons_have_the_gap_of_the_series(capsys, tmp_path):
    figure = tmp_path / "photons.png"
    transmon_array.main(12, str(figure))
    assert figure.stat().st_size > 10_000
    gap, series = map(
        float, re.search(r"gap at 12 photons: (\S+) MHz; .* series: (\S+)", capsys.readouterr().out).groups()
    )
    # a photon and a hole of the mass 1 / (2 g (1 + 2)) in a box of 12 sites
    assert gap == pytest.approx(series + 3 * 6.25 * (3.1416 / 13) ** 2, abs=0.3)


def test_atoms_order_at_a_detuning_that_grows_with_their_distant_repulsion(monkeypatch, capsys, tmp_path):
    figure = tmp_path / "atoms.png"
    text = printed(monkeypatch, capsys, rydberg_51, "--atoms", "15", "--step", "0.4", "--figure", str(figure))
    assert figure.stat().st_size > 10_000
    rows = [tuple(map(float, row)) for row in re.findall(r"R_b/a = (\S+): ordered above Delta/Omega = (\S+) ", text)]
    assert len(rows) >= 3
    assert max(rows)[1] == max(delta for _, delta in rows)


def test_the_strip_has_its_published_flux_and_walks_to_more(monkeypatch, capsys):
    text = printed(monkeypatch, capsys, kitaev_50x2, "--rungs", "6", "--steps", "2")
    beside = re.findall(r"flux (\S+), published (\S+)", text)
    assert len(beside) == 2
    assert all(ours == published for ours, published in beside)
    fluxes = [float(f) for f in re.findall(r"6 x 2, .*: flux (\S+) ", text)]
    assert fluxes == sorted(fluxes)
