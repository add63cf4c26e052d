"""What the README prints is what happens."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X
from qep_tn.configuration.toml_file import load
from qep_tn.models import MODELS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_example_runs_as_printed():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(example.strip().splitlines()) <= 12
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True, cwd=ROOT)
    # exactly solvable: the transverse-field Ising chain of free fermions
    value = float(re.search(r"d<XX>/dg_zz = (\S+)", done.stdout).group(1))
    H, theta = qt.models.transverse_field_ising(128), {"h": 1.5, "J": 1.0}
    exact = qt.gradient(H, theta, qt.Expectation(X(62) * X(66)), solver=qt.FreeFermion())
    assert np.isclose(value, exact.gradient["J"], rtol=1e-4)  # the default of `rtol`
    assert "trustworthy: True" in done.stdout


def test_both_commands_are_single_lines_for_files_that_exist():
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert len(commands) == 2
    for command in commands:
        assert len(command.strip().splitlines()) == 1
    config = re.search(r"boundary (\S+\.toml)", commands[0]).group(1)
    assert tomllib.loads((ROOT / config).read_text())["model"]["name"] in MODELS


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?!http)[^)]+)\)", README))))
def test_linked_files_exist(target):
    assert (ROOT / target).exists()


def test_the_performance_table_is_that_of_the_committed_results():
    report = json.loads((ROOT / "benchmarks" / "results" / "gradient.json").read_text())
    (table,) = re.findall(r"<!-- performance -->\n(.*?)<!-- end -->", README, re.DOTALL)
    points = {line.split(" (")[0].removeprefix("| "): line for line in table.splitlines()}
    for row in report["rows"]:
        assert f"| {row['seconds']:.2g} s " in points[row["point"]]
        assert row["library"] in table.splitlines()[0]
    assert f"{report['cpu']}, one thread, {report['date'][:10]}" in table


def test_the_configuration_in_the_documentation_can_be_loaded(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "configuration.md").read_text(), re.DOTALL)
    (tmp_path / "all.toml").write_text(block)
    assert load(tmp_path / "all.toml").boundary.plane == ["g_x", "g_zz"]
