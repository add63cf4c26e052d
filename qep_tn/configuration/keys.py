"""The configuration of a run, as typed and checked settings.

One section a noun: [model], [parameters], [solver], [device], [sensor], [data]; and one a verb: [gradient], [explore],
[sensitivity], [boundary], [train], [verify], [benchmark]. Every key has a default but `model.name`; unknown keys are
errors. The seed of everything random is `solver.seed`, but for that of a simulated device, which has its own. A field's
description is what messages say about its values. Nothing here executes code from a file, except the functions that it
names, and the file of a device of one's own. `qep_tn.configuration.toml_file` reads and writes the file,
`qep_tn.configuration.build`, `device` and `data` make Hamiltonians, losses, solvers, devices and samples of it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from qep_tn.configuration.model import ModelSection, missing_model
from qep_tn.configuration.section import Section
from qep_tn.descent.update_rules import OPTIMIZERS, Optimizer
from qep_tn.solvers.registry import SOLVERS

Couplings = float | list[float]
Noise = Literal["projective", "gaussian"]
Scheme = Literal["symmetric", "one-sided", "linear-response"]
ScanVariable = Literal["entropy", "fidelity_susceptibility", "observable"]

# in the bulk of a chain of any length; the published phase exploration measures it at L = 128: X(62) * X(66)
BULK_CORRELATION = "X(L // 2 - 2) * X(L // 2 + 2)"


_SOLVER_NAMES = f"'auto', {', '.join(map(repr, list(SOLVERS)[:-1]))} or {list(SOLVERS)[-1]!r}"


def _registered(name: str) -> str:
    if name != "auto" and name not in SOLVERS:
        raise ValueError(f"{name!r} is no solver")
    return name


class SolverSection(Section):
    """How ground states are found. Settings that a solver does not have are left out; None is its own default."""

    name: Annotated[str, AfterValidator(_registered)] = Field(default="auto", description=_SOLVER_NAMES)
    max_bond: int | None = Field(default=None, ge=1, description="a bond dimension, 1 or more")
    cutoff: float | None = Field(default=None, gt=0, lt=1, description="a Schmidt value between 0 and 1")
    energy_tolerance: float | None = Field(default=None, gt=0, description="a positive number")
    max_sweeps: int | None = Field(default=None, ge=1, description="a whole number, 1 or more")
    sector: dict[str, float] | None = Field(default=None, description="a table of charges, as { Sz = 0 } or { N = 32 }")
    level: int | None = Field(default=None, ge=0, description="the number of a level, 0 for the ground state")
    temperature: float | None = Field(default=None, ge=0, description="a temperature in units of energy")
    seed: int = Field(default=0, ge=0, le=2**31, description="a whole number, 0 to 2147483648")


class DeviceSection(Section):
    """A device in the model's place: simulated, with what it hides, or one of one's own; see `qep_tn.SimulatedDevice`.

    None is a default: 500 shots, or those that a device of one's own names.
    """

    disorder: float = Field(default=0.0, ge=0, description="a relative width, 0 or more, such as 0.1")
    scale: dict[str, Couplings] = Field(default={}, description="a table of factors, such as { g_x = 1.05 }")
    offset: dict[str, Couplings] = Field(default={}, description="a table of energies, such as { g_zz = 0.1 }")
    extra: str | None = Field(default=None, description="an operator as in Python, such as '0.1 * Y(0) * Y(1)'")
    shots: int | None = Field(default=None, ge=2, description="a number of shots, 2 or more")
    noise: Noise = Field(default="projective", description="'projective' or 'gaussian'")
    readout: list[list[float]] | list[list[list[float]]] | None = Field(
        default=None,
        description="probabilities [read][true], such as [[0.98, 0.03], [0.02, 0.97]], or one such a qubit",
    )
    drift: float | dict[str, Couplings] = Field(
        default=0.0, description="an energy, 0 or more, or a table of them by parameter name"
    )
    seed: int = Field(default=0, ge=0, le=2**31, description="a whole number, 0 to 2147483648")
    file: str | None = Field(default=None, description="the name of a Python file, such as 'lab.py'")
    name: str | None = Field(default=None, description="what a device is called in the file, such as 'Lab'")


class AccuracySection(Section):
    """How gradients are taken; see `qep_tn.gradient`."""

    rtol: float = Field(default=1e-4, gt=0, lt=1, description="a relative error between 0 and 1")
    beta: PositiveFloat | Literal["auto"] = Field(default="auto", description="'auto' or a positive nudge strength")
    scheme: Scheme = Field(default="symmetric", description="'symmetric', 'one-sided' or 'linear-response'")

    @property
    def keywords(self) -> dict[str, Any]:
        """As `qep_tn.gradient` takes them."""
        return {"rtol": self.rtol, "beta": self.beta, "scheme": self.scheme}


class PropagationSection(AccuracySection):
    """The gradient of what, and how it is taken."""

    objective: str = Field(default=BULK_CORRELATION, description="an operator as in Python, such as 'abs(X(2) * X(6))'")


class GradientSection(PropagationSection):
    """The gradient of an objective with respect to every coupling."""


class ExploreSection(PropagationSection):
    """A walk through the phase diagram along the gradient; see `qep_tn.explore_phases`."""

    objective: str = Field(
        default=f"abs({BULK_CORRELATION})", description="an operator as in Python, such as 'abs(X(2) * X(6))'"
    )
    rtol: float = Field(default=1e-2, gt=0, lt=1, description="a relative error between 0 and 1")
    direction: Literal["maximize", "minimize"] = Field(default="maximize", description="'maximize' or 'minimize'")
    train: list[str] | None = Field(default=None, description="a list of parameter names, such as ['g_x']")
    steps: int = Field(default=40, ge=0, description="a whole number, 0 or more")
    rate: float = Field(default=0.1, gt=0, description="a positive step length, in units of energy")
    optimizer: Optimizer = Field(default="normalized", description=f"one of {', '.join(map(repr, OPTIMIZERS))}")
    bounds: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        default={}, description="a table of a lowest and a highest value, such as { g_x = [0.0, 4.0] }"
    )
    constraints: list[str] = Field(
        default=[], description="a list of linear equations and inequalities, such as ['g_x + g_zz = 4']"
    )
    starts: int = Field(default=1, ge=1, le=10_000, description="a whole number, 1 to 10000")
    spread: float = Field(default=0.5, gt=0, description="a positive distance, in units of energy")


class SensitivitySection(AccuracySection):
    """Two points between which an observable changes fastest; see `qep_tn.optimize_sensitivity`."""

    observable: str = Field(default=BULK_CORRELATION, description="an operator as in Python, such as 'X(2) * X(6)'")
    scan: str | None = Field(default=None, description="the name of a parameter, such as 'g_x'")
    points: list[float] | None = Field(
        default=None, min_length=2, max_length=2, description="two values of the scanned parameter, such as [0.5, 1.5]"
    )
    train: list[str] | None = Field(default=None, description="a list of parameter names, such as ['g_zz']")
    steps: int = Field(default=40, ge=0, description="a whole number, 0 or more")
    rate: float = Field(default=0.1, gt=0, description="a positive step length, in units of energy")
    closest: float = Field(default=1e-3, gt=0, description="a positive distance, in units of energy")
    rtol: float = Field(default=1e-2, gt=0, lt=1, description="a relative error between 0 and 1")


class BoundarySection(Section):
    """Phase boundaries, followed through a plane of two parameters; see `qep_tn.trace_boundary`."""

    plane: list[str] | None = Field(
        default=None, min_length=2, max_length=2, description="the names of two parameters, such as ['g_x', 'g_zz']"
    )
    window: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        default={}, description="[low, high] for both parameters, such as { g_x = [0.0, 3.0], g_zz = [0.1, 2.0] }"
    )
    observable: str | None = Field(default=None, description="an operator as in Python, such as 'X(2) * X(6)'")
    start: list[dict[str, float]] | None = Field(
        default=None, description="points near boundaries, such as [{ g_x = 0.4, g_zz = 0.6 }]"
    )
    step: float = Field(default=1 / 16, gt=0, le=0.5, description="a share of the window, 0 to 0.5")
    points: int = Field(default=200, ge=3, description="a number of points, 3 or more")
    search: int = Field(default=32, ge=8, description="a number of ground states a line, 8 or more")
    sharpness: float = Field(default=14.0, gt=0, description="a positive width, in energy scales over L")
    rtol: float = Field(default=1e-2, gt=0, lt=1, description="an accuracy in widths of the peak, between 0 and 1")
    scan: list[Annotated[int, Field(ge=2, le=1000)]] | None = Field(
        default=None, min_length=2, max_length=2, description="two numbers of grid points, each 2 or more, as [24, 16]"
    )
    scan_variable: ScanVariable = Field(
        default="entropy", description="'entropy', 'fidelity_susceptibility' or 'observable'"
    )

    lengths: list[Annotated[int, Field(ge=3)]] | None = Field(
        default=None, min_length=2, description="two or more numbers of sites, such as [32, 64, 128]"
    )
    exponent: float = Field(default=1.0, gt=0, description="a positive number, 1/nu")

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """The window's limits as pairs."""
        return {name: (low, high) for name, (low, high) in self.window.items()}


class SensorSection(Section):
    """Sensor qubits beside the model, for [train]; see `qep_tn.models.phase_sensor`."""

    sensors: int = Field(default=2, ge=1, le=22, description="a number of sensor qubits, 1 to 22")
    near: list[int] | list[list[int]] = Field(
        default=[0, 1], min_length=1, description="sites of the system, such as [0, 1], or a list of such lists"
    )
    couplings: str | list[str] = Field(
        default="XYZ", min_length=1,
        description="some of the letters X, Y and Z, such as 'XZ', or a list of operators, such as ['Z(0) * Z(1)']",
    )  # fmt: skip


class ScheduleTable(Section):
    """A value that changes from step to step; see `qep_tn.Decay`."""

    first: PositiveFloat
    last: PositiveFloat
    over: int = Field(ge=1)


_SCHEDULE = "a positive number, or { first = 0.03, last = 0.003, over = 1000 }"


class TrainSection(Section):
    """Training on samples; see `qep_tn.train`."""

    outputs: list[str] | None = Field(
        default=None, min_length=1, description="a list of operators, such as ['Z(A)'], where A, B, ... are sensors"
    )
    loss: Literal["squared", "cross-entropy"] = Field(default="squared", description="'squared' or 'cross-entropy'")
    train: list[str] | None = Field(default=None, description="a list of parameter names, such as ['sensor']")
    optimizer: Literal["normalized", "plain", "adam", "adamax"] = Field(
        default="adam", description="'normalized', 'plain', 'adam' or 'adamax'"
    )
    rate: PositiveFloat | ScheduleTable = Field(default=0.01, description=_SCHEDULE)
    batch: int = Field(default=10, ge=1, description="a number of samples, 1 or more")
    steps: int = Field(default=1000, ge=0, description="a whole number, 0 or more")
    test_every: int = Field(default=50, ge=1, description="a number of steps, 1 or more")
    patience: int | None = Field(default=None, ge=1, description="a number of tests, 1 or more")
    soft_bounds: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        default={}, description="a table of a bound and a slope, such as { coupling = [0.1, 0.02] }"
    )
    bounds: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        default={}, description="a table of a lowest and a highest value, such as { coupling = [-1.0, 1.0] }"
    )
    clip: PositiveFloat | None = Field(default=None, description="a largest norm of a sample's gradient, positive")
    begin_with: str | None = Field(default=None, description="the folder of a training that has ended")
    seeds: int = Field(default=1, ge=1, le=10_000, description="a whole number, 1 to 10000")
    spread: float | None = Field(
        default=None, ge=0, description="a width, in units of energy, 0 or more; 1 if left out, 0 with begin_with"
    )
    kept: int = Field(default=64, ge=0, description="a number of ground states, 0 or more")
    checked: float = Field(default=0.02, ge=0, le=1, description="a share of the samples, 0 to 1")
    rtol: float = Field(default=1e-2, gt=0, lt=1, description="a relative error between 0 and 1")
    shots: int | None = Field(default=None, ge=2, description="a number of shots, 2 or more")
    shot_noise: Noise = Field(default="projective", description="'projective' or 'gaussian'")
    beta: PositiveFloat | Literal["auto"] | ScheduleTable = Field(default="auto", description=f"'auto', {_SCHEDULE}")
    scheme: Scheme = Field(default="symmetric", description="'symmetric', 'one-sided' or 'linear-response'")


class DataSection(Section):
    """Samples for [train]: from files, or drawn; see `qep_tn.Samples` and `qep_tn.Simplex`."""

    file: str | None = Field(default=None, description="the name of a CSV or netCDF file")
    test_file: str | None = Field(default=None, description="the name of a CSV or netCDF file")
    draw: str | None = Field(default=None, description="'simplex' or 'package.module:function'")
    test: int = Field(default=200, ge=0, description="a number of samples that are drawn to test with, 0 or more")
    inputs: list[str] = Field(default=[], description="a list of parameter names, such as ['g_x', 'g_zz']")
    signs: list[float] = Field(default=[], description="a list of numbers, one for each input")
    total: float = Field(default=1.0, gt=0, description="a positive number, the sum of the inputs")
    labels: str = Field(default="phases", description="'phases' or 'package.module:function'")
    classes: list[str] = Field(default=[], description="a list of the model's phases, one for each output")
    centres: list[list[float]] = Field(default=[], description="a list of points, each a value for each input")
    radius: float | None = Field(default=None, gt=0, description="a positive distance, in units of energy")
    balanced: bool = Field(default=False, description="true (as many points of every label) or false (uniform)")


class BenchmarkSection(Section):
    """Solvers side by side at several lengths; see `qep_tn.benchmark`."""

    lengths: list[Annotated[int, Field(ge=1)]] = Field(
        default=[16, 32, 64, 128], min_length=1, description="a list of numbers of sites, the shortest first"
    )
    solvers: list[Annotated[str, AfterValidator(_registered)]] = Field(
        default=["numba", "tenpy", "quimb"], min_length=1, description=f"a list out of {', '.join(map(repr, SOLVERS))}"
    )
    objective: str = Field(default=BULK_CORRELATION, description="an operator as in Python, such as 'X(2) * X(6)'")
    rtol: float = Field(default=1e-2, gt=0, lt=1, description="a relative error between 0 and 1")
    repeat: int = Field(default=3, ge=1, description="a whole number, 1 or more")
    limit: PositiveFloat = Field(default=120.0, description="a number of seconds that a solver may take at one length")


class VerifySection(Section):
    """All solvers side by side on a chain short enough for exact diagonalization; see `qep_tn.tasks.verify`."""

    L: int | None = Field(default=None, ge=1, le=14, description="a number of sites, 1 to 14")
    objective: str = Field(default=BULK_CORRELATION, description="an operator as in Python, such as 'X(2) * X(6)'")


class Config(Section):
    """All sections of a file. model: None for a device of one's own, which names its sites and controls itself."""

    model: ModelSection | None = None
    parameters: dict[str, Couplings] = Field(default={})
    solver: SolverSection = SolverSection()
    device: DeviceSection | None = None
    gradient: GradientSection = GradientSection()
    explore: ExploreSection = ExploreSection()
    sensitivity: SensitivitySection = SensitivitySection()
    boundary: BoundarySection = BoundarySection()
    train: TrainSection = TrainSection()
    data: DataSection = DataSection()
    sensor: SensorSection | None = None
    verify: VerifySection = VerifySection()
    benchmark: BenchmarkSection = BenchmarkSection()
    versions: dict[str, str] = Field(default={}, description="a library's version, written by the program")

    PARAMETER: ClassVar[str] = "a finite number, or a list of them with one for each coupling"

    @model_validator(mode="after")
    def _has_a_model(self) -> Config:
        if self.model is None and (self.device is None or self.device.file is None):
            raise missing_model()
        return self

    def length_for(self, verb: str) -> int | None:
        """Number of sites that a verb works with, of the longest chain; None for that of the model.

        Raises ValueError if a length is asked of a model that has none.
        """
        if verb == "verify":
            return self.verified_length
        lengths = {"boundary": self.boundary.lengths, "benchmark": self.benchmark.lengths}.get(verb)
        if not lengths:
            return None
        self._require_length(f"[{verb}] lengths")
        return max(lengths)

    @property
    def verified_length(self) -> int | None:
        """Number of sites that verify takes: verify.L, else the model's or at most 10; None if the model has no L.

        Raises ValueError for verify.L if the model has no L.
        """
        if self.verify.L is not None:
            self._require_length("[verify] L")
            return self.verify.L
        return None if self._length is None else min(self._length, 10)

    @property
    def shortened(self) -> tuple[str, ...]:
        """What verify takes in place of the model's length, as a sentence; nothing if it takes that."""
        taken, length = self.verified_length, self._length
        return () if taken == length else (f"compared is the model with L = {taken}, not {length}; [verify] L sets it",)

    @property
    def _length(self) -> int | None:
        return None if self.model is None else self.model.length

    def _require_length(self, place: str) -> None:
        if self.model is not None and self.model.length is None:
            raise ValueError(f"{place}: the model {self.model.name} has no L; leave {place.split()[1]} out")
