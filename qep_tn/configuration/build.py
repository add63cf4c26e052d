"""What a configuration describes: the Hamiltonian, its parameters, losses, observables and the solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from qep_tn.configuration.keys import Config
from qep_tn.configuration.model import model_function
from qep_tn.configuration.section import first_line, hint
from qep_tn.expressions.operators_and_losses import parse_loss, parse_operator
from qep_tn.gradients.losses import Loss
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator
from qep_tn.models import MODELS, phase_sensor
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.registry import solver_called

T = TypeVar("T")


def hamiltonian(config: Config, L: int | None = None, with_sensor: bool = False) -> Hamiltonian:
    """The Hamiltonian of the configured model, on L sites if L is given, and with the sensor of [sensor] beside it.

    Raises ValueError if there is none.
    """
    system = _system(config, L)
    if config.sensor is None or not with_sensor:
        return system
    settings = config.sensor.model_dump()
    try:
        if isinstance(couplings := settings["couplings"], list):
            settings["couplings"] = [parse_operator(text, L=len(system.sites)) for text in couplings]
        return phase_sensor(system, **settings)
    except ValueError as error:
        raise ValueError(f"[sensor] {error}") from None


def _system(config: Config, L: int | None) -> Hamiltonian:
    section = config.model
    if section is None:
        raise ValueError("[model] name: missing; this verb takes no device, but the model of one")
    keywords = section.keywords if L is None else {**section.keywords, "L": L}
    function = model_function(section.name)
    if section.name in MODELS:
        return function(**keywords)
    try:
        H = function(**keywords)
    except Exception as error:
        raise ValueError(f"[model] {section.name} failed: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(H, Hamiltonian):
        raise ValueError(f"[model] {section.name} gave a {type(H).__name__}; it must return a qep_tn.Hamiltonian")
    return H


def theta(config: Config, H: Hamiltonian, shortened: bool = False) -> dict[str, Any]:
    """Values of all parameters of H: name -> float or array. One number for an array parameter makes it uniform; a
    parameter that is not given is 1, and a sensor's is 0.

    shortened: H may have fewer sites than configured; it gets the first values of every list.
    """
    trained = config.sensor is not None and "sensor" in H.parameters
    given: dict[str, float | list[float]] = {"sensor": 0.0, "coupling": 0.0} if trained else {}
    given |= config.parameters
    if unknown := next((name for name in given if name not in H.parameters), None):
        raise ValueError(f"[parameters] {unknown}: {hint('unknown parameter', unknown, H.parameters)}")
    values: dict[str, Any] = {}
    for name, operators in H.parameters.items():
        value = given.get(name, 1.0)
        if isinstance(operators, tuple):
            listed = value if isinstance(value, list) else [value] * len(operators)
            if len(listed) < len(operators) or (len(listed) > len(operators) and not shortened):
                raise ValueError(f"[parameters] {name}: has {len(listed)} values for {len(operators)} couplings")
            values[name] = np.array(listed[: len(operators)], float)
        elif isinstance(value, list):
            keywords = {} if config.model is None else config.model.keywords
            remedy = "set [model] local = true" if "local" in keywords else "give one number"
            raise ValueError(f"[parameters] {name}: has {len(value)} values but is one coupling; {remedy}")
        else:
            values[name] = float(value)
    return values


def loss(text: str, H: Hamiltonian, section: str) -> Loss:
    """The loss that a section's objective describes; L stands for the number of sites.

    Raises ValueError if it cannot be read, leaves the chain or is not Hermitian.
    """
    place = f"[{section}] objective"
    parsed = _read(parse_loss, text, H, place)
    for operator in parsed.observables:
        operator.check(H.sites, place)
    return parsed


def observable(text: str, H: Hamiltonian, section: str) -> Operator:
    """The operator that a section's observable describes; L stands for the number of sites.

    Raises ValueError if it cannot be read, leaves the chain or is not Hermitian.
    """
    place = f"[{section}] observable"
    operator = _read(parse_operator, text, H, place)
    operator.check(H.sites, place)
    return operator


def _read(parse: Callable[..., T], text: str, H: Hamiltonian, place: str) -> T:
    try:
        return parse(text, L=len(H.sites))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def scanned_points(config: Config, H: Hamiltonian) -> tuple[str, tuple[float, float]]:
    """The scalar parameter that [sensitivity] scans, the first one by default, and its two first values.

    Raises ValueError if there is no such parameter, and for points that are missing or too close.
    """
    section = config.sensitivity
    scalars = {name: operator for name, operator in H.parameters.items() if not isinstance(operator, tuple)}
    if not scalars:
        raise ValueError("[sensitivity] scan: the model has no scalar parameter; set [model] local = false")
    for key, names in (("scan", [section.scan or next(iter(scalars))]), ("train", section.train or [])):
        if unknown := next((name for name in names if name not in scalars), None):
            raise ValueError(f"[sensitivity] {key}: {hint(f'{unknown!r} is no scalar parameter', unknown, scalars)}")
    scan = section.scan or next(iter(scalars))
    if section.points is None:
        raise ValueError(f"[sensitivity] points: missing; give two values of {scan}, such as points = [0.5, 1.5]")
    first, second = section.points
    if abs(first - second) < section.closest:
        raise ValueError(
            f"[sensitivity] points: {first:g} and {second:g} are not closest = {section.closest:g} apart; "
            "move them apart, or lower closest"
        )
    return scan, (first, second)


def solver(config: Config, H: Hamiltonian) -> Solver:
    """The configured solver. "auto" is exact diagonalization on up to 12 qubits, else `NumbaDMRG`."""
    return solver_named(config.solver.name, config, H)


def solver_named(name: str, config: Config, H: Hamiltonian) -> Solver:
    """A solver with the configured settings, of those that it has."""
    return solver_called(name, H, config.solver.model_dump(exclude={"name"}, exclude_none=True))
