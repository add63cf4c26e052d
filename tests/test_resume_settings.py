"""Runs go on only with the settings that they were begun with, also from Python, where config.toml is empty.

Each task is begun once. Then every setting is changed by itself, on a copy of the folder: the run is refused in one
line that names the setting, and nothing in the folder changes but run.log, which says that it was opened.
"""

import functools
import json
import math
import pickle
import re
import shutil

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.hamiltonians.sites import Site
from qep_tn.models import cluster_ising, transverse_field_ising
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.settings_check import fingerprint, solver_settings
from qep_tn.tasks.finite_size import finite_size_scaling

EXACT, GAUSSIAN = qt.ExactDiagonalization(), qt.FreeFermion()
H6 = cluster_ising(6)
ISING = transverse_field_ising(8)
QUBIT = qt.qubits(1)[0]
NEIGHBOURS = X(2) * X(3)


def changed_model(H=H6, sites=None, fixed=0.0, **operators):
    return qt.Hamiltonian(sites or H.sites, {**H.parameters, **operators}, fixed)


def skewed_qubits(length):
    """Qubits by name, whose particle is the other state."""
    return (Site("qubit", {**QUBIT.operators, "Number": np.diag([1.0, 0.0])}),) * length


def distance_to(target):
    return qt.FunctionLoss([X(1)], lambda e: (e[0] - target) ** 2, lambda e: 2 * (e - target))


# --- the tasks, each with settings that take little time, changes, and other ways to write the same


def explore(run, H=H6, theta=None, objective=None, **settings):
    theta = {"g_x": 0.9, "g_zz": 0.7, "g_zxz": 0.5} if theta is None else theta
    objective = qt.Expectation(X(1) * X(4)) if objective is None else objective
    defaults = {"steps": 1, "solver": EXACT, "bounds": {"g_x": (0, 2)}, "constraints": ["g_x + g_zz <= 3"]}
    qt.explore_phases(H, theta, objective, run=run, progress=False, **defaults | settings)


def several(run, **settings):
    explore(run, **{"starts": 2, "processes": 1, "steps": 0} | settings)


def nearest(run, objective=None, **settings):
    explore(run, objective=objective or distance_to(0.5), **settings)


def sensitivity(run, H=H6, theta=None, observable=NEIGHBOURS, **settings):
    theta = {"g_zz": 1.0, "g_zxz": 0.2} if theta is None else theta
    defaults = {"scan": "g_x", "points": (0.6, 1.6), "train": ["g_zz"], "steps": 1, "solver": EXACT}
    qt.optimize_sensitivity(H, {"g_x": 1.0, **theta}, observable, run=run, progress=False, **defaults | settings)


def boundary(run, H=ISING, theta=None, plane=("h", "J"), window=None, **settings):
    theta = {"h": 1.2, "J": 1.0} if theta is None else theta
    window = {"h": (0.6, 1.4), "J": (0.9, 1.1)} if window is None else window
    defaults = {"observable": Z(3) * Z(4), "start": {"h": 0.8, "J": 1.0}, "step": 0.3, "points": 4, "solver": GAUSSIAN}
    qt.trace_boundary(H, theta, plane, window, run=run, progress=False, **defaults | settings)


def scan(run, H=H6, theta=None, plane=("g_x", "g_zz"), window=None, **settings):
    theta = {"g_x": 0.0, "g_zz": 0.0, "g_zxz": 0.5} if theta is None else theta
    window = {"g_x": (0.5, 1.5), "g_zz": (0.5, 1.5)} if window is None else window
    defaults = {"shape": (2, 2), "observables": {"xx": X(1) * X(3)}, "solver": EXACT}
    qt.phase_diagram(H, theta, plane, window, run=run, progress=False, **defaults | settings)


def scaling(run, model=transverse_field_ising, lengths=(6, 8), theta=None, window=None, **settings):
    theta = {"h": 1.2, "J": 1.0} if theta is None else theta
    window = {"h": (0.6, 1.4), "J": (0.9, 1.1)} if window is None else window
    defaults = {
        "observable": lambda L: Z(L // 2 - 1) * Z(L // 2), "start": {"h": 0.8, "J": 1.0}, "step": 0.3, "points": 3,
        "solver": GAUSSIAN, "processes": 1,
    }  # fmt: skip
    finite_size_scaling(model, lengths, theta, ("h", "J"), window, run=run, progress=False, **defaults | settings)


SENSOR = qt.models.phase_sensor(transverse_field_ising(3), sensors=1)
FIELDS = qt.Samples({"h": [0.5, 1.5], "J": [1.0, 1.0]}, [[1.0, 0.0], [0.0, 1.0]])


def drawn(factor):
    def draw(rng, number):
        return qt.Samples({"h": factor * rng.uniform(size=number), "J": np.ones(number)}, np.ones((number, 2)))

    return draw


def training(run, H=SENSOR, theta=None, samples=FIELDS, outputs=None, **settings):
    theta = {"sensor": np.full(3, 0.2), "coupling": np.full(18, 0.1)} if theta is None else theta
    outputs = [Z(1), X(1)] if outputs is None else outputs
    defaults = {"steps": 1, "batch": 1, "solver": EXACT, "test": FIELDS, "processes": 1, "bounds": {"sensor": (-1, 1)}}
    qt.train(H, theta, samples, outputs=outputs, run=run, progress=False, **defaults | settings)


def from_a_function(run, samples=None, **settings):
    training(run, samples=drawn(1.0) if samples is None else samples, **settings)


def other_short_chain(L):
    return transverse_field_ising(L) if L == 8 else changed_model(transverse_field_ising(L), fixed=0.1 * Z(0) * Z(1))


MODELS = [
    ({"H": changed_model(g_zz=H6.parameters["g_zz"] + 1e-6 * Z(0) * Z(1))}, "the operators of g_zz"),
    ({"H": changed_model(fixed=0.1 * Z(0))}, "the fixed part of H"),
    ({"H": changed_model(sites=skewed_qubits(6))}, "sites"),
    ({"H": qt.Hamiltonian(H6.sites, dict(reversed(H6.parameters.items())))}, "parameters"),
]
ISING_MODELS = [
    ({"H": changed_model(ISING, J=ISING.parameters["J"] + 1e-6 * Z(0) * Z(1))}, "the operators of J"),
    ({"H": changed_model(ISING, fixed=0.1 * Z(0))}, "the fixed part of H"),
    ({"H": changed_model(ISING, sites=skewed_qubits(8))}, "sites"),
]
SOLVERS = [({"solver": qt.ExactDiagonalization(seed=1)}, "the solver's seed"), ({"solver": qt.NumbaDMRG()}, "solver")]
ACCURACY = [({"rtol": 0.02}, "rtol"), ({"beta": 0.01}, "beta"), ({"scheme": "one-sided"}, "scheme")]
WINDOW = {"h": (0.6, 1.5), "J": (0.9, 1.1)}
START = EXACT.ground_state(H6, {"g_x": 1.0, "g_zz": 0.7, "g_zxz": 0.5})

CHANGED = {
    explore: [
        *MODELS, *SOLVERS, *ACCURACY,
        ({"theta": {"g_x": 0.9, "g_zz": 0.7, "g_zxz": 0.6}}, "theta"),
        ({"objective": qt.Expectation(X(1) * X(3))}, "objective"),
        ({"objective": qt.Magnitude(X(1) * X(4))}, "objective"),
        ({"objective": 2 * qt.Expectation(X(1) * X(4))}, "objective"),
        ({"direction": "minimize"}, "direction"),
        ({"train": ["g_x"]}, "train"),
        ({"rate": 0.3}, "rate"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"bounds": {"g_x": (0.0, 3.0)}}, "bounds"),
        ({"constraints": ["g_x >= g_zz"]}, "constraints"),
        ({"start": START}, "start"),
        ({"starts": 2}, "starts"),
    ],
    several: [
        *MODELS[:1], *SOLVERS[:1], ({"seed": 1}, "seed"), ({"spread": 0.1}, "spread"), ({"starts": 3}, "starts"),
        ({"starts": 1}, "starts"), ({"rate": 0.3}, "rate"),
    ],
    nearest: [
        ({"objective": distance_to(0.6)}, "objective"),
        ({"objective": qt.FunctionLoss([X(1)], lambda e: abs(e[0]), lambda e: np.sign(e))}, "objective"),
    ],
    sensitivity: [
        *MODELS, *SOLVERS, *ACCURACY,
        ({"theta": {"g_zz": 1.0, "g_zxz": 0.3}}, "theta"),
        ({"observable": X(2) * X(5)}, "observable"),
        ({"scan": "g_zxz"}, "scan"),
        ({"points": (0.5, 1.6)}, "points"),
        ({"train": ["g_zxz"]}, "train"),
        ({"rate": 0.2}, "rate"),
        ({"closest": 0.01}, "closest"),
    ],
    boundary: [
        *ISING_MODELS, ({"solver": EXACT}, "solver"), *ACCURACY[:1],
        ({"theta": {"h": 1.3, "J": 1.0}}, "theta"),
        ({"plane": ("J", "h")}, "plane"),
        ({"window": {"h": (0.7, 1.4), "J": (0.9, 1.1)}}, "window"),
        ({"window": {"h": (0.5, 1.4), "J": (0.95, 1.2)}}, "window"),
        ({"observable": Z(2) * Z(3)}, "observable"),
        ({"observable": None}, "observable"),
        ({"start": {"h": 0.81, "J": 1.0}}, "start"),
        ({"start": [{"h": 0.8, "J": 1.0}, {"h": 0.7, "J": 1.0}]}, "start"),
        ({"start": None}, "start"),
        ({"step": 0.2}, "step"),
        ({"points": 3}, "points"),
        ({"search": 16}, "search"),
        ({"sharpness": 10.0}, "sharpness"),
    ],
    scan: [
        *MODELS, *SOLVERS, *ACCURACY[:1],
        ({"theta": {"g_x": 0.0, "g_zz": 0.0, "g_zxz": 0.6}}, "theta"),
        ({"plane": ("g_zz", "g_x")}, "plane"),
        ({"window": {"g_x": (0.5, 1.5), "g_zz": (0.5, 1.6)}}, "the grid along g_zz"),
        ({"window": {"g_x": (0.5, 2.5), "g_zz": (0.5, 1.5)}, "shape": (3, 2)}, "the grid along g_x"),
        ({"shape": (3, 2)}, "the grid along g_x"),
        ({"observables": {"xx": X(1) * X(4)}}, "observables"),
        ({"observables": {"yy": X(1) * X(3)}}, "observables"),
        ({"gap": True}, "gap"),
    ],
    training: [
        *SOLVERS, *ACCURACY,
        ({"H": changed_model(SENSOR, fixed=0.1 * Z(0))}, "the fixed part of H"),
        ({"theta": {"sensor": np.full(3, 0.3), "coupling": np.full(18, 0.1)}}, "theta"),
        ({"samples": FIELDS[[1, 0]]}, "samples"),
        ({"samples": qt.Samples(FIELDS.inputs, [[1.0, 0.0], [0.0, 0.9]])}, "samples"),
        ({"outputs": [Z(1), Z(1)]}, "outputs"),
        ({"loss": "cross-entropy"}, "loss"),
        ({"train": ["sensor"]}, "train"),
        ({"rate": 0.02}, "rate"),
        ({"rate": qt.Decay(0.01, 0.001, 5)}, "rate"),
        ({"optimizer": "plain"}, "optimizer"),
        ({"batch": 2}, "batch"),
        ({"test": FIELDS[:1]}, "test"),
        ({"test": None}, "test"),
        ({"test_every": 1}, "test_every"),
        ({"patience": 3}, "patience"),
        ({"penalty": qt.SoftBound("coupling", 0.1, 0.1)}, "penalty"),
        ({"bounds": {"sensor": (-2, 1)}}, "bounds"),
        ({"clip": 0.5}, "clip"),
        ({"shots": 10}, "shots"),
        ({"kept": 3}, "kept"),
        ({"checked": 0.5}, "checked"),
        ({"seed": 1}, "seed"),
        ({"spread": 0.1}, "spread"),
        ({"seeds": 2}, "seeds"),
    ],
    from_a_function: [({"samples": drawn(1.1)}, "samples")],
    scaling: [
        ({"solver": EXACT}, "solver"), *ACCURACY[:1],
        ({"model": lambda L: changed_model(transverse_field_ising(L), fixed=0.1 * Z(0))}, "the fixed part of H"),
        ({"model": other_short_chain}, "the fixed part of H"),
        ({"lengths": (5, 8)}, "lengths"),
        ({"lengths": (6, 8, 10)}, "the longest of lengths, on which every point is found,"),
        ({"theta": {"h": 1.3, "J": 1.0}}, "theta"),
        ({"window": WINDOW}, "window"),
        ({"observable": lambda L: Z(L // 2) * Z(L // 2 + 1)}, "observable"),
        ({"observable": lambda L: Z(3) * Z(4)}, "observable"),
        ({"exponent": 2.0}, "exponent"),
        ({"start": None}, "start"),
        ({"step": 0.2}, "step"),
        ({"points": 4}, "points"),
        ({"search": 16}, "search"),
        ({"sharpness": 10.0}, "sharpness"),
    ],
}  # fmt: skip

SAME = {
    explore: [
        {},
        {"steps": 2},
        {
            "H": cluster_ising(6), "theta": {"g_zxz": np.array(0.5), "g_zz": 0.7, "g_x": np.float64(0.9)},
            "bounds": {"g_x": [0.0, 2.0]}, "constraints": ("g_x + g_zz <= 3",), "train": ["g_zxz", "g_zz", "g_x"],
            "processes": 2,
        },
    ],
    several: [{"processes": 2}],
    nearest: [{}, {"objective": distance_to(0.5)}],
    sensitivity: [{}, {"steps": 2, "points": [0.6, np.float64(1.6)], "theta": {"g_zz": 1, "g_zxz": 0.2}}],
    boundary: [{}, {"start": [{"J": 1, "h": 0.8}], "window": {"J": [0.9, 1.1], "h": np.array([0.6, 1.4])}}],
    scan: [{}, {"shape": [2, 2], "theta": {"g_zxz": 0.5, "g_zz": 1.0, "g_x": 1.0}}],
    training: [{}, {"steps": 3, "penalty": [], "outputs": (Z(1), X(1)), "bounds": {"sensor": [-1.0, 1.0]}}],
    from_a_function: [{}, {"samples": drawn(1)}],
    scaling: [{}, {"lengths": [8, 6], "processes": 2, "exponent": 1, "rtol": 1e-2, "search": 32}],
}  # fmt: skip


# --- the tests


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Task -> the folder of a run of it."""

    @functools.cache
    def folder(task):
        path = tmp_path_factory.mktemp(task.__name__) / "run"
        run = RunFolder.create(path)
        try:
            task(run)
        finally:
            run.close()
        return path

    return folder


def resume(task, path, **changed):
    run = RunFolder.create(path, resume=True)
    try:
        task(run, **changed)
    finally:
        run.close()


def contents(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "run.log"}


def cases(table):
    """A case for each task and change, called by them."""
    return [
        pytest.param(task, *(change if isinstance(change, tuple) else (change,)), id=f"{task.__name__}-{n}")
        for task, changes in table.items()
        for n, change in enumerate(changes)
    ]


@pytest.mark.parametrize(("task", "changed", "name"), cases(CHANGED))
def test_run_with_another_setting_is_refused_by_its_name(begun, tmp_path, task, changed, name):
    path = shutil.copytree(begun(task), tmp_path / "run")
    before = contents(path)
    with pytest.raises(ValueError, match=rf"was made with other settings: {re.escape(name)} was .*; choose") as refused:
        resume(task, path, **changed)
    assert "\n" not in str(refused.value)
    assert contents(path) == before


@pytest.mark.parametrize(("task", "changed"), cases(SAME))
def test_run_with_the_same_settings_goes_on(begun, tmp_path, monkeypatch, task, changed):
    def elsewhere(function, tasks, *_):  # as in other processes, which take seconds to start
        return map(function, pickle.loads(pickle.dumps(tasks)))

    monkeypatch.setattr("qep_tn.tasks.explore.in_order", elsewhere)
    path = shutil.copytree(begun(task), tmp_path / "run")
    resume(task, path, **changed)
    if not changed:
        assert (path / "history.nc").read_bytes() == (begun(task) / "history.nc").read_bytes()


def test_run_of_another_task_is_not_resumed(begun, tmp_path):
    path = shutil.copytree(begun(boundary), tmp_path / "run")
    with pytest.raises(ValueError, match="task was 'boundary', and is 'sensitivity'"):
        resume(sensitivity, path)


def test_run_of_a_version_that_kept_no_settings_is_not_resumed(begun, tmp_path):
    path = shutil.copytree(begun(boundary), tmp_path / "run")
    (path / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"does not say with which settings it was made.*; choose another folder"):
        resume(boundary, path)


def test_damaged_settings_are_refused(begun, tmp_path):
    path = shutil.copytree(begun(boundary), tmp_path / "run")
    (path / "settings.json").write_text('{"task": ')
    with pytest.raises(ValueError, match=r"settings\.json is damaged; start again"):
        resume(boundary, path)


def test_short_chains_do_not_follow_the_boundary_of_another_trace(begun, tmp_path):
    """Of a folder whose longest chain was traced anew, with other settings."""
    path = shutil.copytree(begun(scaling), tmp_path / "run")
    shutil.rmtree(path / "L-8")
    with pytest.raises(ValueError, match="L-6 was made with other settings: the longest chain's boundary was"):
        resume(scaling, path, step=0.2)


def test_solvers_differ_by_what_their_results_depend_on():
    def described(**settings):
        return fingerprint(solver_settings(qt.NumbaDMRG(**settings)))

    others = [{"max_bond": 7}, {"cutoff": 1e-6}, {"energy_tolerance": 1e-12}, {"max_sweeps": 30}, {"seed": 1}]
    assert all(described(**other) != described() for other in others)
    assert described(threads=1) == described(threads=2)
    assert fingerprint(solver_settings(qt.TenpyDMRG())) != described()


TARGET = 0.5


def squared(e):
    return e**2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda e: e.sum(), lambda e: e.mean()),
        (lambda e: e[0] + 1, lambda e: e[0] + 2),
        (lambda e: e[0] + TARGET, lambda e: e[0] + math.pi),
        (lambda e: [x + 1 for x in e], lambda e: [x + 2 for x in e]),
        (functools.partial(pow, 2), functools.partial(pow, 3)),
        (np.sin, np.cos),
        (squared, lambda e: e**2),
    ],
)
def test_functions_differ_by_what_they_compute(one, other):
    assert fingerprint({"f": one}) == fingerprint({"f": one})
    assert fingerprint({"f": one}) != fingerprint({"f": other})


def test_function_differs_where_a_value_of_its_module_does(monkeypatch):
    before = fingerprint({"f": lambda e: squared(e) - TARGET})
    assert fingerprint({"f": lambda e: squared(e) - TARGET}) == before
    monkeypatch.setitem(globals(), "TARGET", 0.6)
    assert fingerprint({"f": lambda e: squared(e) - TARGET}) != before


def test_own_losses_differ_by_what_they_hold_and_compute():
    def own(power, target):
        class Own(qt.Loss):
            observables = (X(0),)

            def __init__(self):
                self.target = target

            value = (lambda self, e: e[0] ** 2) if power == 2 else (lambda self, e: e[0] ** 3)

        return Own()

    texts = [json.dumps(fingerprint({"loss": own(*held)})) for held in [(2, 1), (2, 1.0), (2, 3), (3, 1)]]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_function_that_calls_itself_has_a_fingerprint():
    def factorial(n):
        return n * factorial(n - 1) if n else 1

    assert fingerprint({"f": factorial}) == fingerprint({"f": factorial})


def own_loss(bases=(qt.Loss,), **body):
    return type("Own", bases, {"observables": (X(0),), **body})()


def inherited(method):
    return own_loss((type("Base", (qt.Loss,), {"value": method}),))


class Slotted:
    __slots__ = ("power",)

    def __init__(self, power):
        self.power = power


class SlottedFunction(Slotted):
    __slots__ = ()

    def __call__(self, e):
        return e**self.power


def spline_loss(power):
    spline = CubicSpline(np.arange(4.0), np.arange(4.0) ** power)
    return qt.FunctionLoss([X(0)], spline, spline.derivative())


def loss_holding(*held):
    loss = own_loss()
    loss.held = held
    return loss


def square(power):
    return (lambda e: e**2) if power == 2 else (lambda e: e**3)


@pytest.mark.parametrize(
    "made",
    [
        lambda power: own_loss(target=power),
        lambda power: inherited(square(power)),
        lambda power: own_loss(value=staticmethod(square(power))),
        lambda power: own_loss(value=classmethod(square(power))),
        lambda power: own_loss(value=property(square(power))),
        lambda power: own_loss(value=functools.cached_property(square(power))),
        lambda power: loss_holding(Slotted(power)),
        lambda power: loss_holding(object(), Slotted(power), Slotted(power)),
        SlottedFunction,
        spline_loss,
    ],
    ids=[
        "class attribute", "inherited", "static", "class method", "property", "cached", "slots", "address",
        "slotted function", "spline",
    ],
)  # fmt: skip
def test_objects_differ_by_all_that_they_hold_and_compute_with(made):
    one, same, other = made(2), made(2), made(3)
    assert fingerprint({"f": one}) == fingerprint({"f": same})
    assert fingerprint({"f": one}) != fingerprint({"f": other})


def test_one_object_used_twice_is_as_two_equal_ones():
    one = Slotted(2)
    assert fingerprint({"f": loss_holding(one, one)}) == fingerprint({"f": loss_holding(Slotted(2), Slotted(2))})
