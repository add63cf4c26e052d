"""A run's folder: whole after every kill, read back to the last bit, and refused in one line where it is damaged."""

import dataclasses
import json
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from qep_tn.hamiltonians.sites import qubits, spins
from qep_tn.runs.folder import RunFolder, load
from qep_tn.runs.state_file import read_states
from qep_tn.states.ground_state import GroundState, SolveStatus
from qep_tn.states.majorana import MajoranaState
from qep_tn.states.mps import MPS
from qep_tn.states.saved import as_saved
from qep_tn.states.state_vector import StateVector

SITES = qubits(6)


def matrix_product_state(dtype=float):
    state = MPS.random(SITES, 5, seed=1, dtype=dtype)
    return GroundState(
        -1.25, state, SITES, 1e-11, 1e-9, tuple(state.bond_dimensions), 4, SolveStatus.STILL_FALLING, "..."
    )


def state_vector():
    vector = np.random.default_rng(2).standard_normal(64)
    return GroundState(-2.5, StateVector(SITES, vector / np.linalg.norm(vector)), SITES, 0.0, gap=0.1)


def majorana_state():
    return GroundState(-2.5, MajoranaState(np.linalg.svd(np.diag(np.arange(1.0, 7)))), SITES, 0.0, gap=2.0)


STATES = [matrix_product_state(), matrix_product_state(complex), state_vector(), majorana_state()]


def history(steps):
    return xr.Dataset({"loss": ("step", np.arange(steps) / 3)}, coords={"step": np.arange(steps)})


@pytest.fixture
def run(tmp_path):
    folder = RunFolder.create(tmp_path / "run", '[model]\nname = "cluster_ising"\n')
    yield folder
    folder.close()


@pytest.fixture
def resumed(run):
    run.save(history(3), [matrix_product_state()], {"step": 2, "theta": np.array([0.1, 0.3])})
    folder = RunFolder.create(run.path, '[model]\nname = "cluster_ising"\n', resume=True)
    yield folder
    folder.close()


def arrays(state):
    if isinstance(state, MPS):
        return state.tensors
    return state.pairs if isinstance(state, MajoranaState) else (state.vector,)


@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{type(s.state).__name__} {arrays(s.state)[0].dtype}")
def test_state_comes_back_to_the_last_bit(run, state):
    run.save(history(1), [state], {"step": 1, "stopped": "", "theta": np.array([0.1])})
    (loaded,), extra = read_states(run.path / "state.h5", SITES)
    for a, b, c in zip(arrays(loaded.state), arrays(state.state), arrays(as_saved(state).state), strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()
        assert a.dtype == b.dtype
        assert a.flags.c_contiguous
        assert c.flags.c_contiguous
    figures, expected = (dataclasses.replace(s, state=None) for s in (loaded, state))
    assert repr(figures) == repr(expected)  # of one type, too
    assert loaded.bond_dimensions == state.bond_dimensions
    assert extra == {"step": 1, "stopped": "", "theta": np.array([0.1])}


def test_history_is_cut_back_to_the_step_of_the_state(resumed):
    _, extra = resumed.load_states(SITES)
    assert resumed.load_history(int(extra["step"])).sizes["step"] == 2


def test_several_states_come_back_in_their_order(run):
    run.save(history(1), STATES, {"step": 1})
    states, _ = read_states(run.path / "state.h5", SITES)
    assert [type(state.state) for state in states] == [type(state.state) for state in STATES]


def test_wall_times_stand_beside_the_history(run):
    run.save(history(2).assign(seconds=("step", [0.5, 0.25])), STATES[:1], {"step": 2})
    first = (run.path / "history.nc").read_bytes()
    run.save(history(2).assign(seconds=("step", [0.5, 0.75])), STATES[:1], {"step": 2})
    assert (run.path / "history.nc").read_bytes() == first
    assert load(run.path)["seconds"].values.tolist() == [0.5, 0.75]


def test_history_opens_in_xarray(run):
    run.save(history(4), [state_vector()], {"step": 4})
    with xr.open_dataset(run.path / "history.nc") as opened:
        assert (opened["loss"].values == np.arange(4) / 3).all()


def test_load_carries_the_summary(run):
    run.save(history(4), [state_vector()], {"step": 4})
    run.write_summary({"task": "explore", "lowest_loss": np.float64(-0.5), "trained": ("g_x",)})
    attributes = load(run.path).attrs
    assert attributes["lowest_loss"] == -0.5
    assert attributes["trained"] == ["g_x"]
    assert set(attributes["versions"]) == {"python", "qep_tn", "numpy", "scipy", "numba", "tenpy", "quimb"}
    assert json.loads((run.path / "summary.json").read_text())["platform"]


def test_run_is_logged_until_it_is_closed(run):
    from qep_tn.runs.folder import logger

    logger.info("a first message")
    run.close()
    logger.info("a second message")
    text = (run.path / "run.log").read_text()
    assert "a first message" in text
    assert "a second message" not in text


def test_folder_in_use_is_refused(run):
    with pytest.raises(ValueError, match="is not empty; go on with --resume, or choose another folder with --out"):
        RunFolder.create(run.path)


def test_folder_of_a_run_that_goes_on_in_another_process_is_not_resumed(run):
    program = f"from qep_tn.runs.folder import RunFolder; RunFolder.create({str(run.path)!r}, resume=True)"
    beside = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    run.close()
    after = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "another process works in" in beside.stderr
    assert beside.returncode == 1
    assert after.returncode == 0, after.stderr


def test_folder_without_a_run_is_not_resumed(tmp_path):
    with pytest.raises(ValueError, match="holds no run to resume; leave out --resume"):
        RunFolder.create(tmp_path, resume=True)


@pytest.mark.parametrize("place", ["a file/run", "a file"])
def test_unwritable_folder_is_refused(tmp_path, place):
    (tmp_path / "a file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write to .*; choose another folder with --out") as error:
        RunFolder.create(tmp_path / place)
    assert "\n" not in str(error.value)


def test_changed_settings_are_not_resumed(tmp_path):
    text = '[explore]\nrate = 0.1\nsteps = 5\n[versions]\nnumpy = "1"\n'
    run = RunFolder.create(tmp_path, text)
    run.begin({"rate": "0.1"})
    run.close()
    again = text.replace("5", "9").replace('"1"', '"2"')
    run = RunFolder.create(tmp_path, again, resume=True)
    run.begin({"rate": "0.1"})
    run.save(history(1), STATES[:1], {"step": 1})
    run.close()
    assert (tmp_path / "config.toml").read_text() == again
    run = RunFolder.create(tmp_path, again.replace("0.1", "0.2"), resume=True)
    with pytest.raises(ValueError, match=r"was made with other settings: rate was 0.1, and is 0.2; .* --out"):
        run.begin({"rate": "0.2"})
    run.close()
    assert (tmp_path / "config.toml").read_text() == again  # as before: nothing was saved


def test_damaged_configuration_is_not_resumed(tmp_path):
    RunFolder.create(tmp_path, "").close()
    (tmp_path / "config.toml").write_text("[explore\n")
    with pytest.raises(ValueError, match=r"config\.toml is damaged .*; start another run with --out"):
        RunFolder.create(tmp_path, "", resume=True)


def test_truncated_state_is_refused_in_one_line(resumed):
    file = resumed.path / "state.h5"
    whole = file.read_bytes()
    for length in [0, 1, 100, *range(512, len(whole), 1499), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"state\.h5 is damaged, cut short, .*; delete it") as error:
            resumed.load_states(SITES)
        assert "\n" not in str(error.value)


def test_corrupted_state_is_refused_or_read_but_never_crashes(resumed):
    file = resumed.path / "state.h5"
    whole = bytearray(file.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = whole.copy()
        for place in rng.integers(len(whole), size=20):
            damaged[place] = rng.integers(256)
        file.write_bytes(damaged)
        with suppress(ValueError):  # where the damage shows
            resumed.load_states(SITES)


def test_pickles_and_foreign_files_are_refused(resumed, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (resumed.path / "state.h5").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="no state of qep_tn"):
        resumed.load_states(SITES)
    with h5py.File(resumed.path / "state.h5", "w") as h5:
        h5["numbers"] = np.arange(3)
    with pytest.raises(ValueError, match="no state of qep_tn"):
        resumed.load_states(SITES)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("sites", [qubits(5), qubits(7), spins(6, 2)], ids=["shorter", "longer", "spin-1"])
@pytest.mark.parametrize("state", STATES[1:3], ids=["MPS", "StateVector"])
def test_state_of_another_model_is_refused(run, sites, state):
    run.save(history(1), [state], {"step": 1})
    with pytest.raises(ValueError, match=f"does not hold a state of these {len(sites)} sites"):
        read_states(run.path / "state.h5", sites)


def test_damaged_history_is_refused_in_one_line(resumed):
    file = resumed.path / "history.nc"
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"history\.nc is damaged or not a history"):
        resumed.load_history(2)
    with pytest.raises(ValueError, match=r"history\.nc is damaged or not a history"):
        load(resumed.path)
    file.unlink()
    with pytest.raises(ValueError, match=r"history\.nc does not exist"):
        load(resumed.path)


def test_history_shorter_than_the_state_is_refused(resumed):
    with pytest.raises(ValueError, match="fewer than the 9 steps"):
        resumed.load_history(9)


ENDLESS = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_results import history, matrix_product_state
from qep_tn.runs.folder import RunFolder
run = RunFolder.create({path!r}, "")
for step in range(1, 10**6):
    run.save(history(step), [matrix_product_state()], {{"step": step, "theta": np.full(3, step)}})
    print(step, flush=True)
"""


def test_killed_process_leaves_history_and_state_in_step(tmp_path):
    for kill, delay in enumerate(np.random.default_rng(3).uniform(0, 0.06, 2)):
        path = tmp_path / str(kill)
        code = ENDLESS.format(tests=str(Path(__file__).parent), path=str(path))
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert [process.stdout.readline() for _ in range(3)] == ["1\n", "2\n", "3\n"]
            time.sleep(delay)
            process.kill()
        run = RunFolder.create(path, "", resume=True)
        _, extra = run.load_states(SITES)
        run.close()
        assert extra["step"] >= 3
        assert (extra["theta"] == extra["step"]).all()
        assert 0 <= load(path).sizes["step"] - extra["step"] <= 1
