"""The section [device]: a simulated device of the model with what it hides, or one of one's own, from a Python file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from qep_tn.configuration import build
from qep_tn.configuration.keys import Config, DeviceSection
from qep_tn.configuration.section import first_line
from qep_tn.devices.device import Device
from qep_tn.devices.hidden import NO_OPERATOR, Hidden
from qep_tn.devices.on_device import OnDevice, controls, on_device
from qep_tn.devices.simulated import SimulatedDevice
from qep_tn.expressions.operators_and_losses import parse_operator
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Operator
from qep_tn.measurement.shots import Shots

_SHOTS = 500  # of a simulated device
_IN_FILE = ("file", "name", "shots")  # keys of a device of one's own; all others are of a simulated one


def prepared(config: Config, with_sensor: bool = False) -> tuple[Hamiltonian, OnDevice]:
    """The controls of the configured device, and the device in a solver's place.

    with_sensor: a simulated one has the sensor of [sensor] beside the model.
    Raises ValueError if [device] describes none.
    """
    section = config.device
    assert section is not None
    if section.file is None and section.name is not None:
        raise ValueError("[device] file: missing; give the Python file that name is in, or leave name out")
    if section.file is None:
        device: Device = _simulated(config, section, with_sensor)
    else:
        if config.sensor is not None:
            raise ValueError(f"[sensor] the device of {section.file} names all its controls itself; leave [sensor] out")
        if config.solver.name != "auto":
            raise ValueError(f"[solver] the device of {section.file} prepares its states itself; leave the solver out")
        device = _own(section, section.file)
    try:
        _, solver = on_device(device, None, section.shots)
    except ValueError as error:
        raise ValueError(f"[device] shots: {error}") from None
    assert isinstance(solver, OnDevice)
    return controls(device), solver


def _simulated(config: Config, section: DeviceSection, with_sensor: bool) -> SimulatedDevice:
    H = build.hamiltonian(config, with_sensor=with_sensor)
    solver = build.solver(config, H)
    try:
        hidden = Hidden(
            scale=section.scale, offset=section.offset, extra=_extra(section, H),
            operators=Hidden.disorder(H, section.disorder, section.seed).operators if section.disorder else {},
        )  # fmt: skip
        return SimulatedDevice(
            H, hidden, solver=solver, shots=Shots(section.shots or _SHOTS, section.noise, section.readout),
            drift=section.drift, seed=section.seed,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"[device] {error}") from None


def _extra(section: DeviceSection, H: Hamiltonian) -> Operator:
    if section.extra is None:
        return NO_OPERATOR
    try:
        operator = parse_operator(section.extra, L=len(H.sites))
    except ValueError as error:
        raise ValueError(f"extra: {error}") from None
    operator.check(H.sites, "extra")
    return operator


def _own(section: DeviceSection, file: str) -> Device:
    """A device of one's own: what a class or a function of the file gives without arguments, or an object in it."""
    simulated = [key for key in DeviceSection.model_fields if key not in _IN_FILE]
    default = DeviceSection()
    if given := next((key for key in simulated if getattr(section, key) != getattr(default, key)), None):
        raise ValueError(f"[device] {given}: is of simulated devices, and {file} has one of its own; leave it out")
    if section.name is None:
        raise ValueError(f"[device] name: missing; give {DeviceSection.model_fields['name'].description}")
    module = _executed(Path(file))
    place = f"[device] name: {section.name} of {file}"
    if not hasattr(module, section.name):
        raise ValueError(f"{place}: the file has no such name; give a class, a function or a device in it")
    device = getattr(module, section.name)
    try:
        # a class has the members of its instances, and would pass for a device
        if isinstance(device, type) or not isinstance(device, Device):
            device = device()
    except Exception as error:
        raise ValueError(f"{place} failed: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(device, Device):
        raise ValueError(f"{place} gave a {type(device).__name__}; a device has sites, parameters and measure")
    try:
        controls(device)
    except Exception as error:
        problem = f"its sites and parameters must be those of a Hamiltonian: {first_line(error)}"
        raise ValueError(f"{place}: {problem}") from error
    return device


def _executed(path: Path) -> Any:
    """A Python file as a module; it may import from its own folder."""
    name = f"device_in_{path.stem}"  # of no module that there is already
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"[device] file: {path} is no Python file; its name must end in .py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise ValueError(f"[device] file: {path} cannot be read: {error.strerror}") from None
    except Exception as error:
        raise ValueError(f"[device] file: {path} failed: {type(error).__name__}: {first_line(error)}") from error
    return module
