"""A run on a device from a configuration: simulated as [device] describes it, or a lab's own, from a Python file."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X, Y, Z
from qep_tn.cli import main
from qep_tn.configuration.device import prepared
from qep_tn.configuration.toml_file import load as configuration
from qep_tn.runs.folder import load

EXAMPLE = Path(__file__).parents[1] / "examples" / "device.toml"
CHAIN = """\
[model]
name = "cluster_ising"
L = 5
local = true
[parameters]
g_x = 1.2
g_zz = 0.5
g_zxz = 0.2
[device]
disorder = 0.1
offset = { g_zz = 0.1 }
scale = { g_x = [1.0, 1.1, 0.9, 1.0, 1.2] }
extra = "0.05 * sum(Y(j) * Y(j + 1) for j in range(L - 1))"
readout = [[0.98, 0.03], [0.02, 0.97]]
drift = { g_x = 1e-4 }
shots = 300
seed = 3
[gradient]
objective = "X(1) * X(3)"
beta = 0.4
[explore]
objective = "X(1) * X(3)"
beta = 0.4
rate = 0.05
steps = 3
[sensitivity]
observable = "X(1) * X(3)"
points = [0.5, 1.6]
beta = 0.4
steps = 2
"""
LAB = """\
import qep_tn as qt
from qep_tn import X, Z
from strength import field

L = 4


class Lab:
    sites = qt.qubits(L)
    parameters = {"g_x": [-X(j) for j in range(L)], "g_zz": -sum(Z(j) * Z(j + 1) for j in range(L - 1))}
    shots = 300

    def __init__(self):
        self.inside = qt.SimulatedDevice(qt.Hamiltonian(self.sites, self.parameters), {"g_x": field})

    def measure(self, theta, nudge, observables, shots):
        return self.inside.measure(theta, nudge, observables, shots)


def opened():
    return Lab()


ready, number = Lab(), 3


class Broken(Lab):
    def __init__(self):
        raise OSError("nobody there")


class Shapeless(Lab):
    parameters = {"g_x": 3}
"""
OWN = """\
[parameters]
g_x = 1.2
[device]
file = "lab.py"
name = "Lab"
[gradient]
objective = "X(1) * X(2)"
beta = 0.4
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, blank):
    monkeypatch.chdir(tmp_path)
    for name, text in (("chain.toml", CHAIN), ("own.toml", OWN), ("lab.py", LAB), ("strength.py", "field = 0.1\n")):
        (tmp_path / name).write_text(text)
    return tmp_path


def described():
    """The device of CHAIN, as Python makes it."""
    H = qt.models.cluster_ising(5, local=True)
    hidden = qt.Hidden(
        scale={"g_x": [1.0, 1.1, 0.9, 1.0, 1.2]}, offset={"g_zz": 0.1},
        extra=0.05 * sum(Y(j) * Y(j + 1) for j in range(4)), operators=qt.Hidden.disorder(H, 0.1, seed=3).operators,
    )  # fmt: skip
    readout = [[0.98, 0.03], [0.02, 0.97]]
    return qt.SimulatedDevice(H, hidden, shots=300, readout=readout, drift={"g_x": 1e-4}, seed=3)


THETA = {"g_x": np.full(5, 1.2), "g_zz": np.full(4, 0.5), "g_zxz": np.full(3, 0.2)}


def test_a_gradient_is_that_of_the_device_in_python(capsys):
    assert main(["gradient", "chain.toml", "--out", "g"]) == 0
    printed = capsys.readouterr().out
    assert "nudge           0.4" in printed
    assert "bond dimension" not in printed
    g = qt.gradient(described(), THETA, qt.Expectation(X(1) * X(3)), beta=0.4)
    row = load("g").isel(step=0)
    for name in THETA:
        np.testing.assert_array_equal(row[f"gradient_{name}"], g.gradient[name])
        np.testing.assert_array_equal(row[f"gradient_{name}_error"], g.error[name])
    summary = json.loads(Path("g/summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["solver"]["device"] == "SimulatedDevice"
    assert summary["solver"]["shots"] == 300


def test_a_run_starts_again_from_its_own_configuration():
    assert main(["gradient", "chain.toml", "--out", "g"]) == 0
    assert main(["gradient", "g/config.toml", "--out", "again"]) == 0
    assert Path("g/history.nc").read_bytes() == Path("again/history.nc").read_bytes()


def test_the_seed_changes_the_device_and_a_named_solver_solves_it():
    device = prepared(configuration("chain.toml", ["device.seed=4"]))[1].device
    assert device.truth(THETA)[0] != described().truth(THETA)[0]
    gaussian = ["device.noise='gaussian'", "device.readout=[]", "solver.name='numba'"]
    with pytest.raises(ValueError, match=r"\[device\] Shots: readout"):
        prepared(configuration("chain.toml", gaussian))
    plain = "[model]\nname = 'cluster_ising'\nL = 5\n[device]\nnoise = 'gaussian'\n[solver]\nname = 'free_fermion'\n"
    Path("plain.toml").write_text(plain)
    _, solver = prepared(configuration("plain.toml"))
    assert isinstance(solver.device.solver, qt.FreeFermion)
    assert solver.shots == 500


def test_a_sensor_beside_the_model_belongs_to_the_device():
    Path("sensor.toml").write_text("[model]\nname = 'cluster_ising'\nL = 4\n[sensor]\nsensors = 1\n[device]\n")
    H, solver = prepared(configuration("sensor.toml"), with_sensor=True)
    assert len(H.sites) == 5
    assert "sensor" in solver.device.parameters


@pytest.mark.parametrize("name", ["Lab", "opened", "ready"])
def test_a_lab_of_ones_own_comes_from_a_file(name):
    assert main(["gradient", "own.toml", "--out", "g", "--set", f"device.name={name}"]) == 0
    sites = qt.qubits(4)
    inside = qt.Hamiltonian(sites, {"g_x": [-X(j) for j in range(4)], "g_zz": -sum(Z(j) * Z(j + 1) for j in range(3))})
    lab = qt.SimulatedDevice(inside, {"g_x": 0.1}, shots=300)
    g = qt.gradient(lab, {"g_x": np.full(4, 1.2), "g_zz": 1.0}, qt.Expectation(X(1) * X(2)), beta=0.4)
    np.testing.assert_array_equal(load("g").isel(step=0)["gradient_g_x"], g.gradient["g_x"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gradient", "chain.toml", "--set", "device.disordr=0.1"], "did you mean 'disorder'?"),
        (["gradient", "chain.toml", "--set", "device.disorder=-1"], "[device] disorder: must be a relative width"),
        (["gradient", "chain.toml", "--set", "device.shots=1"], "[device] shots: must be a number of shots"),
        (["gradient", "chain.toml", "--set", "device.noise=loud"], "[device] noise: must be 'projective'"),
        (["gradient", "chain.toml", "--set", "device.readout=0.1"], "[device] readout: must be probabilities"),
        (["gradient", "chain.toml", "--set", "device.readout=[[1, 1], [1, 0]]"], "every column must add up to 1"),
        (["gradient", "chain.toml", "--set", "device.scale={h=1}"], "[device] hidden: scale has 'h'"),
        (["gradient", "chain.toml", "--set", "device.offset={g_x=[1]}"], "[device] hidden: offset['g_x'] has shape"),
        (["gradient", "chain.toml", "--set", "device.extra=Y(9)"], "[device] extra: site 9 is out of range"),
        (["gradient", "chain.toml", "--set", "device.drift={g_y=1}"], "[device] drift has 'g_y'"),
        (["gradient", "chain.toml", "--set", "device.name=Lab"], "[device] file: missing"),
        (["gradient", "chain.toml", "--set", "gradient.scheme=linear-response"], "linear-response"),
        (["explore", "chain.toml", "--workers", "2"], "a device is asked by one process"),
        (
            ["boundary", "chain.toml", "--set", "boundary.plane=['g_x', 'g_zz']", "--set", "boundary.scan=[8, 8]"],
            "[boundary] scan: what is drawn needs states",
        ),
        (
            ["boundary", "chain.toml", "--set", "boundary.plane=['g_x', 'g_zz']", "--set", "boundary.lengths=[8, 9]"],
            "[boundary] lengths: a device has one length",
        ),
        (["train", "chain.toml", "--set", "train.outputs=['Z(0)']", "--set", "train.shots=10"], "give [device] shots"),
        (["gradient", "own.toml", "--set", "device.drift=0.1"], "[device] drift: is of simulated devices"),
        (["gradient", "own.toml", "--set", "device.file=no.py"], "[device] file: no.py cannot be read"),
        (["gradient", "own.toml", "--set", "device.file=own.toml"], "its name must end in .py"),
        (["gradient", "own.toml", "--set", "device.name=Lib"], "the file has no such name"),
        (["gradient", "own.toml", "--set", "device.name=number"], "TypeError: 'int' object is not callable"),
        (["gradient", "own.toml", "--set", "device.name=field"], "TypeError"),
        (["gradient", "own.toml", "--set", "device.name=Broken"], "OSError: nobody there"),
        (["gradient", "own.toml", "--set", "device.name=Shapeless"], "must be those of a Hamiltonian"),
        (["gradient", "own.toml", "--set", "sensor.sensors=1"], "leave [sensor] out"),
        (["gradient", "own.toml", "--solver", "numba"], "leave the solver out"),
        (["verify", "own.toml"], "[model] name: missing"),
        (["benchmark", "own.toml"], "[model] name: missing"),
        (["gradient", "own.toml", "--set", "device={}"], "[model] name: missing"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_in_one_line_and_leave_no_folder(capsys, folder, arguments, said):
    if "train" in arguments:
        Path("points.csv").write_text("g_x,target_0\n1.0,0.5\n")
        arguments = [*arguments, "--set", "data.file=points.csv"]
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("qep-tn: ")
    assert said in printed.err
    assert not (folder / "runs").exists() or not any((folder / "runs").iterdir())


def test_a_lab_whose_file_fails_is_refused(capsys):
    Path("lab.py").write_text("import nowhere\n")
    assert main(["gradient", "own.toml"]) == 2
    assert "[device] file: lab.py failed: ModuleNotFoundError" in capsys.readouterr().err


def test_a_lab_that_fails_in_a_run_goes_on_after_its_last_step(capsys):
    Path("lab.py").write_text(
        LAB
        + """
class Failing(Lab):
    def measure(self, *asked):
        import pathlib
        if self.inside.measured == 7 and not pathlib.Path("laser is on").exists():
            raise ConnectionError("the laser is off")
        return super().measure(*asked)
"""
    )
    command = ["explore", "own.toml", "--set", "device.name=Failing", "--set", "explore.objective=X(1) * X(2)"]
    command += ["--set", "explore.beta=0.4", "--set", "explore.steps=4", "--out", "run"]
    assert main(command) == 2
    assert "the laser is off" in capsys.readouterr().err
    saved = load("run")["loss"].values
    assert len(saved) == 2
    Path("laser is on").touch()
    assert main([*command, "--resume"]) == 0
    np.testing.assert_array_equal(load("run")["loss"].values[:2], saved)
    assert load("run").sizes["step"] == 5


def test_verify_compares_solvers_on_the_model_itself(capsys):
    assert main(["verify", "chain.toml", "--solver", "exact", "--set", "verify.objective=X(1) * X(3)"]) == 0


def test_sensitivity_and_training_run_on_a_device():
    settings = ["--set", "model.local=false", "--set", "device.scale={}"]
    assert main(["sensitivity", "chain.toml", "--out", "s", *settings]) in (0, 3)
    assert np.isfinite(load("s")["sensitivity"].values).all()
    Path("points.csv").write_text("g_x,target_0\n0.6,0.5\n1.5,0.9\n")
    training = {
        "data.file": "points.csv", "train.outputs": "['X(1) * X(3)']", "train.steps": 2, "train.batch": 2,
        "train.beta": 0.4,
    }  # fmt: skip
    arguments = [a for key, value in training.items() for a in ("--set", f"{key}={value}")]
    assert main(["train", "chain.toml", "--out", "t", *settings, *arguments]) == 0
    assert load("t").sizes["step"] == 3


def killed_after_some_steps(arguments, saved):
    """A command line as a process of its own, killed at any moment after it has saved something."""
    program = [sys.executable, "-c", "import sys; from qep_tn.cli import main; sys.exit(main())"]
    process = subprocess.Popen([*program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not saved.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


@pytest.mark.parametrize("several", [[], ["--set", "explore.starts=2"]])
def test_a_killed_walk_on_a_device_resumes_to_the_same_bytes(folder, several):
    """Drift and shots go on where they were; of several walks, the first one is killed."""
    part = "start-0" if several else ""
    command = ["explore", "chain.toml", *several, "--out"]
    killed_after_some_steps(
        [*command, "killed", "--set", "explore.steps=100000"], folder / "killed" / part / "state.h5"
    )
    steps = ["--set", f"explore.steps={load(Path('killed', part)).sizes['step'] + 2}"]
    assert main([*command, "killed", *steps, "--resume"]) == 0
    assert main([*command, "whole", *steps]) == 0
    for name in ("history.nc", *([f"start-{n}/history.nc" for n in range(2)] if several else ["state.h5"])):
        assert Path("killed", name).read_bytes() == Path("whole", name).read_bytes()


def test_the_example_raises_its_correlation_through_the_device():
    settings = ["model.L=8", "explore.objective=Z(2) * Z(5)"]
    assert main(["explore", str(EXAMPLE), "--out", "run", *(a for s in settings for a in ("--set", s))]) == 0
    losses = load("run")["loss"].values
    assert losses[-1] < losses[0] - 0.3


def test_the_configuration_of_the_page_of_devices_runs():
    page = (EXAMPLE.parents[1] / "docs" / "devices.md").read_text()
    blocks = re.findall(r"```(python|toml)\n(.*?)```", page, re.DOTALL)
    lab = [text for kind, text in blocks if kind == "python" and "learn_hamiltonian" not in text]
    Path("lab.py").write_text("\n".join(lab))
    Path("lab.toml").write_text(next(text for kind, text in blocks if kind == "toml"))
    assert main(["explore", "lab.toml", "--out", "run", "--set", "explore.steps=2"]) == 0
    assert load("run").sizes["step"] == 3


def test_another_device_is_not_gone_on_with(capsys):
    assert main(["explore", "chain.toml", "--out", "run"]) == 0
    capsys.readouterr()
    for other in ("device.seed=4", "device.shots=301", "device.drift=0.0", "device.disorder=0.2"):
        assert main(["explore", "chain.toml", "--out", "run", "--set", other, "--resume"]) == 2
        assert "made with other settings" in capsys.readouterr().err
