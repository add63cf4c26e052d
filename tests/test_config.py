"""Configuration files: what they come to, and what is said about mistakes in them."""

import sys
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qep_tn import ExactDiagonalization, FreeFermion, FullDiagonalization, NumbaDMRG, QuimbDMRG, TenpyDMRG
from qep_tn.configuration import build
from qep_tn.configuration.toml_file import load, to_toml
from qep_tn.gradients.losses import Magnitude
from qep_tn.hamiltonians.operators import X

MODEL = '[model]\nname = "cluster_ising"\n'
PARAMETERS = "[parameters]\ng_x = 1.5\ng_zz = 0.5\ng_zxz = 1\n"

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-300, max_value=1e300)


@pytest.fixture
def written(tmp_path):
    def write(text):
        file = tmp_path / "chain.toml"
        file.write_text(text)
        return file

    return write


def refusal(call):
    with pytest.raises(ValueError, match=r".") as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_every_key_but_the_model_name_has_a_default(written):
    config = load(written(MODEL))
    assert config.explore.steps == 40
    assert config.gradient.beta == "auto"
    assert config.solver.seed == 0
    assert build.theta(config, build.hamiltonian(config)) == {"g_x": 1.0, "g_zz": 1.0, "g_zxz": 1.0}


def test_the_configuration_of_the_design_gives_its_model_couplings_and_objective(written):
    text = MODEL + "L = 128\n" + PARAMETERS + '[solver]\nname = "tenpy"\nmax_bond = 64\n'
    config = load(written(text + '[explore]\nobjective = "abs(X(62) * X(66))"\ntrain = ["g_x", "g_zz"]\nrate = 0.1\n'))
    H = build.hamiltonian(config)
    assert len(H.sites) == 128
    assert build.theta(config, H) == {"g_x": 1.5, "g_zz": 0.5, "g_zxz": 1.0}
    assert build.loss(config.explore.objective, H, "explore") == Magnitude(X(62) * X(66))
    assert build.solver(config, H) == TenpyDMRG(max_bond=64)


def test_one_number_makes_an_array_parameter_uniform(written):
    config = load(written(MODEL + "L = 4\nlocal = true\n[parameters]\ng_x = [1, 2, 3, 4.5]\ng_zz = 0.5\ng_zxz = 0\n"))
    theta = build.theta(config, build.hamiltonian(config))
    np.testing.assert_array_equal(theta["g_x"], [1, 2, 3, 4.5])
    np.testing.assert_array_equal(theta["g_zz"], [0.5] * 3)
    np.testing.assert_array_equal(theta["g_zxz"], [0, 0])


def test_auto_is_exact_up_to_twelve_sites_and_tenpy_beyond(written):
    for length, solver in ((12, ExactDiagonalization), (13, NumbaDMRG)):
        config = load(written(MODEL + f"L = {length}\n[solver]\nseed = 7\n"))
        chosen = build.solver(config, build.hamiltonian(config))
        assert isinstance(chosen, solver)
        assert chosen.seed == 7


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        ("exact", ExactDiagonalization),
        ("free-fermion", FreeFermion),
        ("free_fermion", FreeFermion),
        ("quimb", QuimbDMRG),
    ],
)
def test_solver_option_overrides_the_file(written, name, solver):
    config = load(written(MODEL + '[solver]\nname = "tenpy"\nmax_bond = 32\n'), solver=name)
    assert isinstance(build.solver(config, build.hamiltonian(config)), solver)


def test_a_level_or_a_temperature_is_of_the_solver_that_has_them(written):
    config = load(written(MODEL + 'L = 4\n[solver]\nname = "full"\ntemperature = 0.5\n'))
    assert build.solver(config, build.hamiltonian(config)) == FullDiagonalization(temperature=0.5)
    for key in ("level", "temperature", "sector"):
        value = "{ N = 1 }" if key == "sector" else "1"
        config = load(written(MODEL + f'L = 4\n[solver]\nname = "tenpy"\n{key} = {value}\n'))
        with pytest.raises(ValueError, match=f"solver 'tenpy' has no {key}; choose of .*full"):
            build.solver(config, build.hamiltonian(config))


GEOMETRIES = """
from __future__ import annotations
from qep_tn.models import xxz

def dimerized(L, ratio, ring=False):
    return xxz(2 * L, periodic=ring)

def ladder(rungs: int, legs: int = 2, tilt: float = 0.5, edge: str | None = None, twisted: bool = False, *, name="it"):
    return xxz(rungs * legs)

def array(rows: int, shape: str = "square", **spacing):
    return xxz(rows * len(spacing))

def chain(L: int):
    return xxz(L)

def placed(L, /, ratio: float = 1.0):
    return xxz(L)

def anything(**options):
    return xxz(options["L"])
"""


@pytest.fixture
def geometries(tmp_path, monkeypatch):
    (tmp_path / "geometries.py").write_text(GEOMETRIES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "geometries", raising=False)


@pytest.mark.usefixtures("geometries")
@pytest.mark.parametrize(
    ("keys", "sites"),
    [
        ("dimerized' \n L = 3 \n ratio = 0.5 \n ring = true", 6),
        ("dimerized' \n ratio = [0.5, 1]", 20),
        ("ladder' \n rungs = 3", 6),
        ("ladder' \n rungs = 3 \n legs = 4 \n tilt = 1", 12),
        ("array' \n rows = 3 \n dx = 1.5 \n dy = 2", 6),
        ("chain'", 10),
        ("anything' \n L = 6", 6),
    ],
)
def test_the_keys_of_a_model_are_the_parameters_of_its_function(written, keys, sites):
    config = load(written(f"[model]\nname = 'geometries:{keys}\n"))
    assert len(build.hamiltonian(config).sites) == sites
    assert load(written(to_toml(config, {}))) == config


@pytest.mark.usefixtures("geometries")
def test_a_written_configuration_has_the_defaults_of_the_function_and_no_more(written):
    config = load(written("[model]\nname = 'geometries:ladder'\nrungs = 10\n"))
    written_out = tomllib.loads(to_toml(config, {}))["model"]
    assert written_out == {"name": "geometries:ladder", "rungs": 10, "legs": 2, "tilt": 0.5, "twisted": False}
    shipped = tomllib.loads(to_toml(load(written(MODEL)), {}))["model"]
    assert shipped == {"name": "cluster_ising", "L": 10, "local": False, "periodic": False}


@pytest.mark.usefixtures("geometries")
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("ladder' \n rung = 3", "[model] rung: unknown key; did you mean 'rungs'?"),
        ("ladder' \n rungs = 3 \n L = 3", "[model] L: unknown key; known are name, rungs, legs, tilt, edge, twisted"),
        ("ladder'", "[model] rungs: missing; give a whole number"),
        ("ladder' \n rungs = 3.0", "[model] rungs: must be a whole number, not 3.0"),
        ("ladder' \n rungs = true", "[model] rungs: must be a whole number, not True"),
        ("ladder' \n rungs = 3 \n tilt = 'no'", "[model] tilt: must be a number, not 'no'"),
        ("ladder' \n rungs = 3 \n tilt = inf", "[model] tilt: must be a number, not inf"),
        ("ladder' \n rungs = 3 \n twisted = 1", "[model] twisted: must be true or false, not 1"),
        ("array' \n rows = 3 \n shape = 2", "[model] shape: must be a string, not 2"),
        (
            "array' \n rows = 3 \n dx = { y = 1 }",
            "[model] dx: must be a number, a string, true, false, a list of those",
        ),
        ("dimerized' \n ratio = 1 \n L = 0", "[model] L: must be a number of sites, 1 to 10000, not 0"),
        ("anything' \n L = 1000000000", "[model] L: must be a number of sites, 1 to 10000, not 1000000000"),
        (
            "anything' \n L = 3 \n periodic = 1",
            "[model] periodic: must be true (a ring) or false (an open chain), not 1",
        ),
        ("placed' \n L = 3", "[model] name: 'geometries:placed' takes L by its place alone; let it have it by name"),
    ],
)
def test_mistakes_in_the_keys_of_a_model_are_named_with_what_its_function_takes(written, keys, message):
    file = written(f"[model]\nname = 'geometries:{keys}\n")
    assert refusal(lambda: load(file)).startswith(f"{file}: {message}")
    override = ["model.rungs=2.5", "model.name=geometries:ladder"]
    assert refusal(lambda: load(written(MODEL), override)).startswith("--set: [model] rungs: must be a whole number")


@pytest.mark.usefixtures("geometries")
def test_a_model_without_a_length_is_verified_and_traced_as_it_is(written):
    text = "[model]\nname = 'geometries:ladder'\nrungs = 10\n"
    config = load(written(text))
    assert [config.length_for(verb) for verb in ("gradient", "boundary", "verify")] == [None, None, None]
    asked = load(written(text), ["verify.L=6", "boundary.lengths=[8, 16]"])
    assert refusal(lambda: asked.length_for("verify")) == (
        "[verify] L: the model geometries:ladder has no L; leave L out"
    )
    assert "has no L; leave lengths out" in refusal(lambda: asked.length_for("boundary"))
    chain = load(written("[model]\nname = 'geometries:chain'\nL = 64\n"))
    assert chain.length_for("verify") == 10
    assert len(build.hamiltonian(chain, 10).sites) == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "[model] name: missing"),
        ("[explore\n", "is not valid TOML"),
        (MODEL + "[explore]\nrtae = 1\n", "[explore] rtae: unknown key; did you mean 'rate'?"),
        (MODEL + "[explor]\nrate = 1\n", "explor: unknown section; did you mean 'explore'?"),
        ("rate = 0.1\n" + MODEL, "rate: unknown section; did you mean explore.rate or sensitivity.rate or train.rate?"),
        (MODEL + "size = 3\n", "[model] size: unknown key; known are name, L, local, periodic"),
        ("[model]\nname = 3\n", "[model] name: must be a model (bose_hubbard, "),
        (MODEL + "L = 12.0\n", "[model] L: must be a number of sites, 1 to 10000, not 12.0"),
        (MODEL + "L = 9999999999999999999\n", "[model] L: must be a number of sites, 1 to 10000"),
        (MODEL + "local = 1\n", "[model] local: must be true (one coupling a term) or false"),
        (MODEL + "[explore]\nsteps = true\n", "[explore] steps: must be a whole number, 0 or more, not True"),
        (MODEL + "[explore]\nsteps = -1\n", "[explore] steps: must be a whole number, 0 or more, not -1"),
        (MODEL + "[explore]\nrate = nan\n", "[explore] rate: must be a positive step length, in units"),
        (MODEL + "[explore]\nrate = '0.1'\n", "[explore] rate: must be a positive step length"),
        (MODEL + "[explore]\nbeta = 'small'\n", "[explore] beta: must be 'auto' or a positive nudge strength"),
        (MODEL + "[explore]\ntrain = 'g_x'\n", "[explore] train: must be a list of parameter names"),
        (MODEL + "[explore]\noptimizer = 'sgd'\n", "[explore] optimizer: must be one of 'normalized', 'plain', 'adam'"),
        (MODEL + "[explore.bounds]\ng_x = 1\n", "[explore] bounds: must be a table of a lowest and a highest value"),
        (MODEL + "[explore]\nbounds = { g_x = [0, 1, 2] }\n", "[explore] bounds: must be a table of a lowest"),
        (MODEL + "[explore]\nconstraints = 'g_x = 1'\n", "[explore] constraints: must be a list of linear equations"),
        (MODEL + "[explore]\nstarts = 0\n", "[explore] starts: must be a whole number, 1 to 10000, not 0"),
        (MODEL + "[explore]\nspread = 0\n", "[explore] spread: must be a positive distance"),
        (MODEL + "[gradient]\nscheme = 'forward'\n", "[gradient] scheme: must be 'symmetric', 'one-sided' or"),
        (MODEL + "[parameters]\ng_x = inf\n", "[parameters] g_x: must be a finite number"),
        (MODEL + "[parameters]\ng_x = [1, 'a']\n", "[parameters] g_x: must be a finite number, or a list of them"),
        (MODEL + "[solver]\nname = 'dmrg'\n", "[solver] name: must be 'auto', 'exact', 'free_fermion'"),
        ("explore = 3\n" + MODEL, "[explore] must be a section with keys, not 3"),
    ],
)
def test_mistakes_in_a_file_are_named_with_their_place(written, text, message):
    file = written(text)
    assert refusal(lambda: load(file)).startswith(f"{file}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MODEL + PARAMETERS + "g_xx = 1\n", "[parameters] g_xx: unknown parameter; did you mean 'g_x'?"),
        (MODEL + PARAMETERS.replace("1.5", "[1, 2]"), "[parameters] g_x: has 2 values"),
        (
            MODEL + "local = true\n" + PARAMETERS.replace("1.5", "[1]"),
            "[parameters] g_x: has 1 values",
        ),
        (
            "[model]\nname = 'cluster-ising'\n",
            "[model] name: 'cluster-ising' is an unknown model; did you mean 'cluster_ising'",
        ),
        ("[model]\nname = 'no.such:model'\n", "[model] name: 'no.such:model' cannot be imported, ModuleNotFoundError"),
        ("[model]\nname = 'os:sep'\n", "[model] name: 'os:sep' is a str; it must be a function"),
        ("[model]\nname = 'os:getcwd'\n", "[model] os:getcwd gave a str; it must return a qep_tn.Hamiltonian"),
        (MODEL + "L = 2\n", "cluster_ising(L=2): an open chain of this model needs"),
    ],
)
def test_parameters_and_model_must_fit(written, text, message):
    config = load(written(text))
    assert refusal(lambda: build.theta(config, build.hamiltonian(config))).startswith(message)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("X(10)", "site 10 is out of range, the chain has sites 0..9"),
        ("1j * X(3)", "1j * X(3) is not Hermitian"),
        ("Create(3)", "site 3: a qubit has no operator 'Create'"),
        ("X(3", "'X(3', position 2: '(' was never closed"),
    ],
)
def test_objectives_must_be_observables_of_the_chain(written, objective, message):
    H = build.hamiltonian(load(written(MODEL)))
    said = refusal(lambda: build.loss(objective, H, "explore"))
    assert said.startswith("[explore] objective")
    assert message in said


def test_set_overrides_any_key_with_a_toml_value_or_a_plain_string(written):
    overrides = ["explore.steps=5", "explore.objective=X(3) * X(5)", 'explore.train=["g_x"]', "parameters.g_x=-2"]
    config = load(written(MODEL + PARAMETERS), overrides)
    assert config.explore.steps == 5
    assert config.explore.objective == "X(3) * X(5)"
    assert config.explore.train == ["g_x"]
    assert config.parameters["g_x"] == -2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("explore.rtae=1", "--set: [explore] rtae: unknown key; did you mean 'rate'?"),
        ("steps=5", "--set: steps: unknown section; did you mean explore.steps or sensitivity.steps or train.steps?"),
        ("explore.rate=nan", "--set: [explore] rate: must be a positive step length"),
        ("explore.steps=many", "--set: [explore] steps: must be a whole number, 0 or more, not 'many'"),
        ("explore.steps", "--set explore.steps: write section.key=value"),
        ("model.name.first=1", "--set model.name.first: name has no keys"),
        ("explore.rate=1\nsteps=3", "--set: [explore] rate: must be a positive step length"),
    ],
)
def test_mistakes_in_set_are_named_as_such(written, override, message):
    assert refusal(lambda: load(written(MODEL), [override])).startswith(message)


@given(
    g=st.one_of(finite, st.lists(finite, max_size=4)),
    parameter=st.text(st.characters(codec="utf-8"), max_size=8),
    objective=st.text(st.characters(codec="utf-8"), max_size=20),
    rate=positive,
    beta=st.one_of(st.just("auto"), positive),
    train=st.one_of(st.none(), st.lists(st.text(st.characters(codec="utf-8"), max_size=5))),
    bounds=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), st.lists(finite, min_size=2, max_size=2)),
)
def test_a_written_configuration_reads_back_equal(tmp_path_factory, g, parameter, objective, rate, beta, train, bounds):
    explore = {"objective": objective, "rate": rate, "beta": beta, "train": train, "bounds": bounds}
    config = build.Config.model_validate(
        {"model": {"name": "xxz", "local": True}, "parameters": {parameter: g}, "explore": explore}
    )
    file = tmp_path_factory.mktemp("written") / "config.toml"
    text = to_toml(config, {"qep_tn": "1.0"})
    file.write_text(text, "utf-8", newline="")
    assert load(file) == config.model_copy(update={"versions": {"qep_tn": "1.0"}})
    assert tomllib.loads(text)["solver"]["seed"] == 0
