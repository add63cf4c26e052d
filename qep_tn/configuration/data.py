"""What [train] and [data] describe: outputs, samples, and what the phases of a model make of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qep_tn.configuration.keys import Config, ScheduleTable
from qep_tn.configuration.model import imported
from qep_tn.configuration.section import hint
from qep_tn.expressions.operators_and_losses import parse_operator
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator
from qep_tn.measurement.shots import Shots
from qep_tn.models import PHASES, sensor_sites
from qep_tn.training.penalty import SoftBound
from qep_tn.training.samples import Samples, Simplex, Source, drawn
from qep_tn.training.schedule import Decay

# outcomes of two sensor qubits, one for each phase, as in the published work
_OUTCOMES = ((1, 1), (1, -1), (-1, -1), (-1, 1))
SENSORS = "ABCDEFGHIJKMNOPQRSTUVW"  # names of sensor qubits in outputs: no X, Y, Z, which are operators, and no L
_TEST_STREAM = 4  # of random numbers, for test samples


@dataclass(frozen=True)
class PhaseLabels:
    """Which of some classes, names of phases, the exact phases of a model are in.

    fixed: parameters that are no inputs.
    """

    model: str
    classes: tuple[str, ...]
    fixed: Mapping[str, float]

    def __call__(self, **inputs: NDArray) -> NDArray:
        """The label of each point. Raises ValueError for a phase that is no class."""
        phases = PHASES[self.model]
        everything = {**self.fixed, **inputs}
        found = phases.phase(**{name: everything[name] for name in phases.parameters})
        order = np.array([self.classes.index(name) if name in self.classes else -1 for name in phases.names])
        labels = order[found]
        if (labels < 0).any():
            missing = phases.names[int(np.asarray(found)[labels < 0].flat[0])]
            raise ValueError(f"[data] classes: there are points in the {missing}; name it, or draw elsewhere")
        return np.asarray(labels)


def outputs(config: Config, H: Hamiltonian) -> list[Operator]:
    """The operators of [train] outputs; by default projectors on outcomes of two sensor qubits, one for each class."""
    texts, places = config.train.outputs, {}
    if config.sensor is not None:
        sites = sensor_sites(len(H.sites) - config.sensor.sensors, config.sensor.sensors, config.sensor.near)
        places = dict(zip(SENSORS, sites, strict=False))
    if texts is None:
        count = len(config.data.classes)
        if len(places) != 2 or not 2 <= count <= len(_OUTCOMES):
            raise ValueError("[train] outputs: missing; give a list of operators, such as ['0.5 * (1 + Z(A))']")
        texts = [f"0.25 * (1 + {a} * Z(A)) * (1 + {b} * Z(B))" for a, b in _OUTCOMES[:count]]
    found = []
    for text in texts:
        try:
            found.append(parse_operator(text, L=len(H.sites), **places))
            found[-1].check(H.sites, "it")
        except ValueError as error:
            raise ValueError(f"[train] outputs: {error}") from None
    return found


def samples(config: Config, H: Hamiltonian, count: int) -> tuple[Samples | Source, Samples | None]:
    """What to train on and what to test with. count: of outputs. Raises ValueError if [data] describes neither."""
    section = config.data
    test = None if section.test_file is None else Samples.read(section.test_file)
    if section.file is not None:
        if section.draw is not None:
            raise ValueError("[data] file and draw: samples are read or drawn; leave one of the two out")
        return Samples.read(section.file), test
    if section.draw is None:
        raise ValueError("[data] file: missing; name a CSV or netCDF file, or give draw = 'simplex'")
    source = _simplex(config, H, count) if section.draw == "simplex" else imported(section.draw, "[data] draw")
    if test is None and section.test:
        test = drawn(source, np.random.default_rng([config.solver.seed, _TEST_STREAM]), section.test)
    return source, test


def _simplex(config: Config, H: Hamiltonian, count: int) -> Simplex:
    section = config.data
    if len(section.inputs) < 2:
        raise ValueError("[data] inputs: missing; name two scalar parameters or more, which sum to total")
    if twice := next((n for n in section.inputs if section.inputs.count(n) > 1), None):
        raise ValueError(f"[data] inputs: {twice} is named twice")
    scalars = [n for n, value in H.parameters.items() if not isinstance(value, tuple)]
    if unknown := next((n for n in section.inputs if n not in scalars), None):
        raise ValueError(f"[data] inputs: {hint(f'{unknown!r} is no scalar parameter', unknown, scalars)}")
    for key, rows in (("signs", [section.signs] if section.signs else []), ("centres", section.centres)):
        if any(len(row) != len(section.inputs) for row in rows):
            raise ValueError(f"[data] {key}: must have a number for each of {', '.join(section.inputs)}")
    if section.labels == "phases":
        label: Any = _phase_labels(config, H)
    else:
        label = imported(section.labels, "[data] labels")
    return Simplex(
        tuple(section.inputs), section.total, label, count, tuple(section.signs),
        tuple(map(tuple, section.centres)), math.inf if section.radius is None else section.radius, section.balanced,
    )  # fmt: skip


def _phase_labels(config: Config, H: Hamiltonian) -> PhaseLabels:
    model, section = None if config.model is None else config.model.name, config.data
    if model is None or model not in PHASES:
        raise ValueError(f"[data] labels: no exact phases of {model} are known; give 'package.module:function'")
    known = PHASES[model]
    if not section.classes:
        raise ValueError(f"[data] classes: missing; list phases out of {', '.join(known.names)}, one for each output")
    if unknown := next((name for name in section.classes if name not in known.names), None):
        raise ValueError(f"[data] classes: {hint(f'{unknown!r} is no phase of {model}', unknown, known.names)}")
    fixed = {n: config.parameters.get(n, 1.0) for n in known.parameters if n not in section.inputs}
    if listed := next((name for name, value in fixed.items() if isinstance(value, list)), None):
        raise ValueError(f"[parameters] {listed}: exact phases take one number; give labels as a function")
    return PhaseLabels(model, tuple(section.classes), fixed)  # type: ignore[arg-type]


def training_settings(config: Config) -> dict[str, Any]:
    """The settings of [train], as `qep_tn.train` takes them. Raises ValueError for shots that are not the device's."""
    section = config.train
    elsewhere = {"outputs", "soft_bounds", "rate", "beta", "shots", "shot_noise", "begin_with", "spread"}
    settings = section.model_dump(exclude=elsewhere)
    if config.device is not None and section.shots is not None:
        raise ValueError("[train] shots: a device has its own; give [device] shots")
    trained = section.train
    if trained is None and config.sensor is not None:
        trained = ["sensor", "coupling"]
    return settings | {
        "train": trained,
        "shots": None if section.shots is None else Shots(section.shots, section.shot_noise),
        "rate": _schedule(section.rate),
        "beta": _schedule(section.beta),
        "penalty": [SoftBound(name, bound, slope) for name, (bound, slope) in section.soft_bounds.items()],
        "spread": (0.0 if section.begin_with else 1.0) if section.spread is None else section.spread,
        "seed": config.solver.seed,
    }


def _schedule(value: Any) -> Any:
    return Decay(value.first, value.last, value.over) if isinstance(value, ScheduleTable) else value
