"""The command line as its users meet it: results, exit status, one line for a mistake, Ctrl-C and resume."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qep_tn.cli import main
from qep_tn.runs.folder import load

CONFIG = """\
[model]
name = "cluster_ising"
L = 6
[parameters]
g_x = 1.2
g_zz = 0.5
g_zxz = 0.7
[explore]
steps = 3
train = ["g_x", "g_zz"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, blank):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain.toml").write_text(CONFIG)
    return tmp_path


def qep_tn(*arguments):
    """The command line as a process of its own."""
    program = [sys.executable, "-c", "import sys; from qep_tn.cli import main; sys.exit(main())"]
    return subprocess.Popen(
        [*program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # heeds Ctrl-C also where the tests run in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def assert_refused(capsys, arguments, *said):
    """Exit status 2 at once, one line on stderr that says these things, nothing on stdout."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("qep-tn: ")
    for text in said:
        assert text in printed.err


def test_gradient_prints_a_table_and_writes_its_folder(capsys):
    assert main(["gradient", "chain.toml", "--set", "model.local=true", "--out", "g"]) == 0
    printed = capsys.readouterr().out
    assert "g_zz[4]" in printed
    assert "trustworthy     yes" in printed
    assert "relative error" in printed
    history, summary = load("g"), json.loads(Path("g/summary.json").read_text())
    assert history["gradient_g_x"].shape == (1, 6)
    assert summary["trustworthy"]
    assert summary["value"] == pytest.approx(float(history["loss"][0]))


def test_gradient_table_lists_the_largest_components_only(capsys):
    arguments = ["gradient", "chain.toml", "--set", "model.local=true", "--set", "model.L=10"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert sum(line.startswith("g_") for line in printed.splitlines()) == 20
    assert "7 smaller ones, all in history.nc" in printed


@pytest.mark.parametrize("solver", ["exact", "free-fermion", "free_fermion", "auto"])
def test_solvers_give_one_gradient(solver):
    objective = 'gradient.objective="X(1) * X(4)"'
    assert main(["gradient", "chain.toml", "--set", objective, "--solver", solver, "--out", "g"]) == 0
    main(["gradient", "chain.toml", "--set", objective, "--set", "gradient.scheme=linear-response", "--out", "exact"])
    for name in ("g_x", "g_zz", "g_zxz"):
        np.testing.assert_allclose(load("g")[f"gradient_{name}"], load("exact")[f"gradient_{name}"], rtol=1e-3)


def test_explore_writes_what_a_run_has(capsys, folder):
    assert main(["explore", "chain.toml"]) == 0
    run = folder / "runs" / "chain-explore"
    for name in ("config.toml", "history.nc", "state.h5", "summary.json", "run.log", "figures/walk.png"):
        assert (run / name).stat().st_size > 0
    assert load(run).sizes["step"] == 4
    assert "ExactDiagonalization" in (run / "run.log").read_text()
    assert "results in runs/chain-explore" in capsys.readouterr().out


def test_a_run_starts_again_from_its_own_configuration(folder):
    assert main(["explore", "chain.toml", "--set", "explore.rate=0.05", "--out", "a"]) == 0
    assert main(["explore", "a/config.toml", "--out", "b"]) == 0
    assert Path("a/history.nc").read_bytes() == Path("b/history.nc").read_bytes()


def test_plot_redraws_figures_from_the_folder_alone(capsys, folder):
    main(["explore", "chain.toml", "--out", "a"])
    drawn = sorted((folder / "a" / "figures").iterdir())
    for file in drawn:
        file.unlink()
    assert main(["plot", "a"]) == 0
    assert sorted((folder / "a" / "figures").iterdir()) == drawn


def test_verify_shows_a_verdict_for_every_solver(capsys):
    arguments = ["verify", "chain.toml", "--set", "model.L=128", "--set", "verify.L=5", "--solver", "free-fermion"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "ExactDiagonalization" in printed
    assert "FreeFermion" in printed
    assert "FAILED" not in printed
    assert "compared is the model with L = 5, not 128; [verify] L sets it" in printed
    assert json.loads(Path("runs/chain-verify/summary.json").read_text())["passed"]


def test_verify_takes_the_first_sites_of_a_model_without_a_length(capsys, folder, monkeypatch):
    (folder / "strips.py").write_text(
        "from qep_tn.models import cluster_ising\n\n"
        "def strip(rungs):\n    return cluster_ising(2 * rungs, local=True)\n"
    )
    monkeypatch.syspath_prepend(folder)
    (folder / "strip.toml").write_text('[model]\nname = "strips:strip"\nrungs = 10\n[parameters]\ng_x = 3\n')
    assert main(["verify", "strip.toml", "--solver", "free-fermion"]) == 0
    printed = capsys.readouterr()
    assert "compared is the block of the first 10, 27 of 57 couplings" in printed.out
    assert "the objective's sites lie beyond the block" in printed.out
    summary = json.loads(Path("runs/strip-verify/summary.json").read_text())
    assert summary["passed"]
    assert len(summary["notes"]) == 2
    assert summary["left_out"] == []


def test_a_gradient_that_cannot_be_trusted_exits_3(capsys):
    # two degenerate ferromagnetic ground states, and an objective that tells them apart
    couplings = ["--set", "parameters.g_x=1e-6", "--set", "parameters.g_zz=2", "--set", "gradient.objective=Z(2)"]
    assert main(["gradient", "chain.toml", *couplings]) == 3
    printed = capsys.readouterr()
    assert "trustworthy     no" in printed.out
    assert printed.err.count("\n") == 1


def test_a_gradient_that_misses_its_accuracy_exits_3(capsys):
    assert main(["gradient", "chain.toml", "--set", "gradient.beta=0.2", "--set", "gradient.rtol=1e-7"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CONFIG + "rtae = 1\n", "[explore] rtae: unknown key; did you mean 'rate'?"),
        (CONFIG + "rate = 'fast'\n", "[explore] rate: must be"),
        (CONFIG + "rate = nan\n", "[explore] rate: must be"),
        (CONFIG.replace("1.2", "nan"), "[parameters] g_x: must be a finite number"),
        (CONFIG.replace("1.2", "[1, 2, 3]"), "[parameters] g_x: has 3 values but is one coupling"),
        (CONFIG.replace("L = 6", "L = 6\nlocal = true").replace("1.2", "[1, 2]"), "has 2 values for 6 couplings"),
        (CONFIG + "bounds = { g_y = [0, 1] }\n", "[explore] bounds has 'g_y', but the parameters are g_x, g_zz, g_zxz"),
        (CONFIG + "bounds = { g_x = [2, 1] }\n", "[explore] bounds: g_x has [2.0, 1.0]; give a lowest and a larger"),
        (CONFIG + "constraints = ['g_x * g_zz = 1']\n", "[explore] constraints: 'g_x * g_zz = 1': multiplies"),
        (CONFIG + "constraints = ['g_x >= 2']\n", "[explore] theta violates g_x >= 2; it is 0.8 away"),
        (CONFIG + "objective = 'X(0) * Y(0)'\n", "not Hermitian"),
        (CONFIG + "objective = 'X(6)'\n", "site 6 is out of range"),
        (CONFIG + "objective = '().__class__'\n", "position 1"),
        (CONFIG.replace('"g_zz"]', '"g_y"]'), "train has 'g_y'"),
        (CONFIG.replace("cluster_ising", "cluster"), "did you mean 'cluster_ising'?"),
        ("[model", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_and_leaves_no_folder(capsys, folder, text, said):
    (folder / "chain.toml").write_text(text)
    assert_refused(capsys, ["explore", "chain.toml"], said, "chain.toml" if "train" not in said else "")
    assert not (folder / "runs" / "chain-explore").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command"),
        (["explode", "chain.toml"], "explode"),
        (["explore"], "CONFIG.toml"),
        (["explore", "chain.toml", "--sett", "a=1"], "--sett"),
        (["explore", "missing.toml"], "missing.toml: cannot be read"),
        (["explore", "."], "cannot be read"),
        (["explore", "chain.toml", "--set", "explore.rtae=1"], "did you mean 'rate'?"),
        (["explore", "chain.toml", "--solver", "dmrg"], "--solver: [solver] name: must be 'auto'"),
        (["explore", "chain.toml", "--resume"], "holds no run to resume"),
        (["plot", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_command_line_is_refused(capsys, arguments, said):
    assert_refused(capsys, arguments, said)


@pytest.mark.parametrize("verb", ["gradient", "explore"])
def test_a_solver_that_cannot_take_the_model_is_refused_and_leaves_no_folder(capsys, folder, verb):
    ring = ["--set", "model.periodic=true", "--solver", "free-fermion"]
    assert_refused(capsys, [verb, "chain.toml", *ring], "FreeFermion solves open cluster-Ising chains")
    assert not (folder / "runs" / f"chain-{verb}").exists()


def test_a_model_that_no_walk_of_several_can_take_is_refused_and_leaves_no_folder(capsys, folder):
    ring = ["--set", "model.periodic=true", "--set", "explore.starts=2", "--solver", "free-fermion"]
    assert main(["explore", "chain.toml", *ring]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("qep-tn: FreeFermion solves open cluster-Ising chains")
    assert not (folder / "runs" / "chain-explore").exists()


def test_an_unwritable_folder_is_refused(capsys, folder):
    (folder / "file").write_text("")
    assert_refused(capsys, ["explore", "chain.toml", "--out", "file/run"], "cannot write to file/run")
    assert_refused(capsys, ["explore", "chain.toml", "--out", "/proc/run"], "cannot write to /proc/run")


def test_a_folder_in_use_is_refused(capsys, folder):
    (folder / "used").mkdir()
    (folder / "used" / "notes.txt").write_text("mine")
    assert_refused(capsys, ["explore", "chain.toml", "--out", "used"], "used is not empty")
    assert (folder / "used" / "notes.txt").read_text() == "mine"


def test_a_truncated_state_is_refused(capsys, folder):
    main(["explore", "chain.toml", "--out", "a"])
    capsys.readouterr()
    state = folder / "a" / "state.h5"
    state.write_bytes(state.read_bytes()[:1000])
    assert_refused(capsys, ["explore", "chain.toml", "--out", "a", "--resume"], "state.h5 is damaged, cut short")
    assert (folder / "a" / "history.nc").exists()


def test_resume_with_another_configuration_is_refused(capsys):
    main(["explore", "chain.toml", "--out", "a"])
    capsys.readouterr()
    again = ["explore", "chain.toml", "--out", "a", "--resume"]
    before = Path("a/config.toml").read_bytes()
    assert_refused(capsys, [*again, "--set", "explore.rate=1"], "rate was 0.1, and is 1")
    assert Path("a/config.toml").read_bytes() == before


@pytest.mark.parametrize("verb", ["gradient", "verify"])
def test_verbs_of_one_step_are_not_resumed_with_other_settings(capsys, verb):
    arguments = [verb, "chain.toml", "--out", "a", "--set", "verify.L=5", "--solver", "exact"]
    assert main(arguments) == 0
    assert main([*arguments, "--resume"]) == 0
    capsys.readouterr()
    before = {file: file.read_bytes() for file in Path("a").glob("*.*") if file.name != "run.log"}
    assert_refused(capsys, [*arguments, "--resume", "--set", "parameters.g_x=1.3"], "theta was", "and is")
    assert {file: file.read_bytes() for file in before} == before


def test_mistakes_are_one_line_without_traceback_in_a_process_of_its_own(folder):
    (folder / "chain.toml").write_text(CONFIG + "rtae = 1\n")
    process = qep_tn("explore", "chain.toml")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert out == ""
    assert err == "qep-tn: chain.toml: [explore] rtae: unknown key; did you mean 'rate'?\n"


def test_ctrl_c_saves_every_step_and_resume_ends_where_an_uninterrupted_run_does(folder):
    process = qep_tn("explore", "chain.toml", "--set", "explore.steps=100000")
    run = folder / "runs" / "chain-explore"
    deadline = time.monotonic() + 60
    while not (run / "state.h5").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    last = err.rstrip("\n").splitlines()[-1]
    assert last.startswith("qep-tn: interrupted; every finished step is in runs/chain-explore; go on with: qep-tn")
    assert last.endswith("--resume")
    assert "Traceback" not in err

    steps = f"explore.steps={load(run).sizes['step'] + 2}"
    assert main(["explore", "chain.toml", "--set", steps, "--resume"]) in (0, 3)
    assert main(["explore", "chain.toml", "--set", steps, "--out", "whole"]) in (0, 3)
    assert (run / "history.nc").read_bytes() == Path("whole/history.nc").read_bytes()


def test_several_starts_are_killed_with_their_processes_and_resume(folder, monkeypatch):
    # SIGKILL: no process can clean up, and those of the walks must end by themselves
    several = ["--set", "explore.starts=2", "--set", "explore.optimizer=adam"]
    process = qep_tn("explore", "chain.toml", *several, "--set", "explore.steps=100000")
    walks = [folder / "runs" / "chain-explore" / f"start-{number}" for number in range(2)]
    deadline = time.monotonic() + 60
    while not all((walk / "state.h5").exists() for walk in walks):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=30)
    time.sleep(0.5)
    saved = [(walk / "state.h5").stat().st_mtime_ns for walk in walks]
    time.sleep(0.5)
    assert [(walk / "state.h5").stat().st_mtime_ns for walk in walks] == saved

    # in this process, for another two pools take many seconds to start
    monkeypatch.setattr("qep_tn.tasks.explore.in_order", lambda function, tasks, *_: map(function, tasks))
    several += ["--set", f"explore.steps={max(load(walk).sizes['step'] for walk in walks) + 1}"]
    assert main(["explore", "chain.toml", *several, "--resume"]) in (0, 3)
    assert main(["explore", "chain.toml", *several, "--out", "whole"]) in (0, 3)
    for part in ("", "start-0/", "start-1/"):
        resumed = folder / "runs" / "chain-explore" / f"{part}history.nc"
        assert resumed.read_bytes() == (folder / "whole" / f"{part}history.nc").read_bytes()
    assert (folder / "whole" / "figures" / "walk.png").exists()


def test_ctrl_c_ends_several_walks_without_a_traceback(folder):
    process = qep_tn("explore", "chain.toml", "--set", "explore.steps=100000", "--set", "explore.starts=2")
    state = folder / "runs" / "chain-explore" / "start-1" / "state.h5"
    deadline = time.monotonic() + 60
    while not state.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.rstrip("\n").splitlines()[-1].startswith("qep-tn: interrupted; every finished step is in runs/chain-exp")
    assert "Traceback" not in err


def test_a_run_of_another_verb_is_not_resumed(folder, capsys):
    assert main(["explore", "chain.toml", "--out", "run"]) == 0
    before = Path("run/history.nc").read_bytes()
    capsys.readouterr()
    assert_refused(
        capsys, ["gradient", "chain.toml", "--out", "run", "--resume"], "--resume of gradient", "is one of explore"
    )
    assert Path("run/history.nc").read_bytes() == before


def test_help_names_the_verbs_and_imports_nothing_slow():
    code = "import sys; from qep_tn.cli import main; main(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    out, modules = process.stdout, set(process.stderr.split())
    assert "qep_tn.cli" in modules
    assert not modules & {"matplotlib", "tenpy", "quimb", "distributed"}
    for verb in ("gradient", "explore", "sensitivity", "verify", "plot"):
        assert verb in out


def test_a_named_solver_that_cannot_take_the_model_has_nothing_to_verify(capsys, folder):
    ring = ["--set", "model.periodic=true", "--solver", "free-fermion"]
    assert_refused(capsys, ["verify", "chain.toml", *ring], "FreeFermion solves open cluster-Ising chains")


def test_well_formed_files_of_something_else_are_refused(capsys, folder):
    main(["explore", "chain.toml", "--out", "a"])
    capsys.readouterr()
    (folder / "a" / "config.toml").write_text("model = 3\n")
    assert_refused(capsys, ["plot", "a"], "does not hold the files of a run")


@pytest.mark.parametrize(
    ("name", "solver"), [("auto", "NumbaDMRG"), ("numba", "NumbaDMRG"), ("exact", "ExactDiagonalization")]
)
def test_the_summary_says_which_solver_it_was(name, solver, tmp_path):
    setting = ["--set", "model.L=14", "--set", 'gradient.objective="X(5) * X(9)"']
    assert main(["gradient", "chain.toml", *setting, "--solver", name, "--out", "run"]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["solver"]["name"] == solver


SENSITIVITY = ["sensitivity", "chain.toml", "--set", "sensitivity.points=[0.6, 1.8]"]


def test_sensitivity_writes_what_a_run_has(capsys, folder):
    assert main([*SENSITIVITY, "--set", "sensitivity.train=['g_zz']", "--set", "sensitivity.steps=3"]) == 0
    run = folder / "runs" / "chain-sensitivity"
    for name in ("progress", "pair", "walk"):
        assert (run / "figures" / f"{name}.png").stat().st_size > 0
    summary = json.loads((run / "summary.json").read_text())
    printed = capsys.readouterr().out
    assert f"steepest at g_x = {summary['boundary']:.6g} +- " in printed
    assert "3 steps made, and the points still move" in printed
    assert 0 < summary["boundary_error"] < 2
    assert "step 3: g_x" in (run / "run.log").read_text()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["points=[1.0]"], "[sensitivity] points: must be two values of the scanned parameter"),
        (["points=[1.0, 1.0]"], "[sensitivity] points: 1 and 1 are not closest = 0.001 apart"),
        (["scan=g_y"], "[sensitivity] scan: 'g_y' is no scalar parameter; did you mean 'g_x'?"),
        (["train=['g_zx']"], "[sensitivity] train: 'g_zx' is no scalar parameter; did you mean"),
        (["observable=abs(X(2))"], "[sensitivity] observable: 'abs(X(2))': an operator is wanted here, not abs(...)"),
        (["observable=X(6)"], "[sensitivity] observable"),
        (["stepps=1"], "[sensitivity] stepps: unknown key; did you mean 'steps'?"),
    ],
)
def test_wrong_settings_of_sensitivity_are_refused(capsys, folder, settings, said):
    assert_refused(capsys, [*SENSITIVITY, *(a for s in settings for a in ("--set", f"sensitivity.{s}"))], said)
    assert not (folder / "runs" / "chain-sensitivity").exists()


def test_sensitivity_needs_two_points_of_a_scalar(capsys):
    assert_refused(capsys, ["sensitivity", "chain.toml"], "chain.toml: [sensitivity] points: missing; give two values")
    assert_refused(capsys, [*SENSITIVITY, "--set", "model.local=true"], "[sensitivity] scan: the model has no scalar")


def test_sensitivity_that_cannot_be_trusted_exits_3(capsys):
    degenerate = ["--set", "parameters.g_zz=3", "--set", "sensitivity.observable=Z(2)", "--set", "parameters.g_zxz=0"]
    assert main([*SENSITIVITY, *degenerate, "--set", "sensitivity.points=[1e-6, 2e-3]"]) == 3
    assert "stopped at step 0" in capsys.readouterr().err


def test_killed_sensitivity_resumes_to_the_same_bytes(folder):
    settings = ["--set", "sensitivity.rate=0.002", "--set", "sensitivity.train=[]"]
    process = qep_tn(*SENSITIVITY, *settings, "--set", "sensitivity.steps=100000")
    run = folder / "runs" / "chain-sensitivity"
    deadline = time.monotonic() + 60
    while not (run / "state.h5").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.kill()
    process.communicate(timeout=30)
    steps = ["--set", f"sensitivity.steps={load(run).sizes['step'] + 2}"]
    assert main([*SENSITIVITY, *settings, *steps, "--resume"]) in (0, 3)
    assert main([*SENSITIVITY, *settings, *steps, "--out", "whole"]) in (0, 3)
    for name in ("history.nc", "state.h5"):
        assert (run / name).read_bytes() == Path("whole", name).read_bytes()
