"""The examples run, at reduced size, as configurations and as scripts."""

import functools
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qep_tn.cli import main
from qep_tn.runs.folder import load

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("name", "settings", "status"),
    [
        ("sensitivity_10", ["sensitivity.steps=3"], 3),  # its nudge is too strong to be trusted
        ("sensitivity_128", ["model.L=16", "sensitivity.observable=X(6) * X(10)", "sensitivity.steps=2"], 0),
    ],
)
def test_configuration_runs(name, settings, status, tmp_path):
    arguments = ["sensitivity", str(EXAMPLES / f"{name}.toml"), "--out", str(tmp_path / "run")]
    assert main([*arguments, *(a for s in settings for a in ("--set", s))]) == status
    assert load(tmp_path / "run").sizes["step"] > 2


@pytest.mark.parametrize(
    ("name", "arguments"), [("sensitivity_10", ["--steps", "4"]), ("sensitivity_128", ["--sites", "16"])]
)
def test_script_prints_an_interval_that_contains_the_exact_value(name, arguments):
    command = [sys.executable, EXAMPLES / f"{name}.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    boundary, error = map(float, re.search(r"steepest at g_x = (\S+) \+- (\S+)", done.stdout).groups())
    exact = float(re.search(r"exact: +g_x = ([-.\d]+)", done.stdout).group(1))
    assert error < 0.6
    assert abs(boundary - exact) <= error + 1e-3  # the exact values' grid


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("phase_sensor_8", ["data.test=6"]),
        ("kitaev_sensor", ["model.rungs=6", "data.test=2", "train.batch=2"]),
        ("phase_sensor_64", ["model.L=13", "sensor.near=[6, 7]", "data.test=3", "train.batch=2", "train.kept=2"]),
    ],
)
def test_sensor_is_trained(name, settings, tmp_path, blank):
    arguments = ["train", str(EXAMPLES / f"{name}.toml"), "--out", str(tmp_path / "run"), "--workers", "1"]
    assert main([*arguments, *(a for s in ["train.steps=1", *settings] for a in ("--set", s))]) == 0
    assert load(tmp_path / "run").sizes["step"] == 2


def test_sensor_for_a_chain_of_ones_own_is_trained(monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr("sensor_for_your_chain.L", 8)
    monkeypatch.setattr("sensor_for_your_chain.NEAR", (3, 4))
    module = importlib.import_module("sensor_for_your_chain")
    monkeypatch.setattr(module.qt, "train", functools.partial(module.qt.train, processes=1, progress=False))
    result = module.main(steps=2, test=4)
    assert result.history.sizes["step"] == 3
    assert "J_z = 3.0: gapless" in capsys.readouterr().out
