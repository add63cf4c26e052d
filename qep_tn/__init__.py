"""Quantum equilibrium propagation on tensor networks: gradients for every coupling of a long quantum chain."""

from qep_tn import models
from qep_tn.devices.device import Device
from qep_tn.devices.hidden import Hidden
from qep_tn.devices.simulated import SimulatedDevice
from qep_tn.gradients.gradient import DegenerateGroundStateWarning, gradient
from qep_tn.gradients.losses import CrossEntropy, Expectation, FunctionLoss, Loss, Magnitude, MeanSquaredError
from qep_tn.gradients.result import Gradient
from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import (
    C,
    Cdag,
    CdagDown,
    CdagUp,
    CDown,
    Create,
    CUp,
    Destroy,
    F,
    Number,
    NumberDown,
    NumberUp,
    Operator,
    Sm,
    Sp,
    Sx,
    Sy,
    Sz,
    X,
    Y,
    Z,
    local,
)  # fmt: skip
from qep_tn.hamiltonians.sites import (
    Site,
    boson,
    bosons,
    electron,
    electrons,
    fermion,
    fermions,
    qubit,
    qubits,
    spin,
    spins,
)  # fmt: skip
from qep_tn.measurement.sampling import sample
from qep_tn.measurement.shots import Shots
from qep_tn.ridges.extrapolation import extrapolate
from qep_tn.solvers.exact import ExactDiagonalization
from qep_tn.solvers.free_fermion import FreeFermion
from qep_tn.solvers.full_diagonalization import FullDiagonalization
from qep_tn.solvers.numba_dmrg import NumbaDMRG
from qep_tn.solvers.protocol import Solver
from qep_tn.solvers.quimb_dmrg import QuimbDMRG
from qep_tn.solvers.tenpy_dmrg import TenpyDMRG
from qep_tn.states.ground_state import GroundState
from qep_tn.states.mps import MPS
from qep_tn.tasks.answers import answers
from qep_tn.tasks.benchmark import Benchmark, ScalingProblem, benchmark
from qep_tn.tasks.boundary import Boundary, trace_boundary
from qep_tn.tasks.explore import Exploration, explore_phases
from qep_tn.tasks.finite_size import Scaling, finite_size_scaling
from qep_tn.tasks.gradients import gradients, response_matrix
from qep_tn.tasks.learn import Learned, learn_hamiltonian
from qep_tn.tasks.phase_diagram import phase_diagram
from qep_tn.tasks.sensitivity import Sensitivity, optimize_sensitivity
from qep_tn.tasks.train import Trained, train
from qep_tn.training.measurements import Measurements
from qep_tn.training.penalty import SoftBound
from qep_tn.training.samples import Samples, Simplex
from qep_tn.training.schedule import Decay

__version__ = "0.1.0"

__all__ = [
    "MPS",
    "Benchmark",
    "Boundary",
    "C",
    "CDown",
    "CUp",
    "Cdag",
    "CdagDown",
    "CdagUp",
    "Create",
    "CrossEntropy",
    "Decay",
    "DegenerateGroundStateWarning",
    "Destroy",
    "Device",
    "ExactDiagonalization",
    "Expectation",
    "Exploration",
    "F",
    "FreeFermion",
    "FullDiagonalization",
    "FunctionLoss",
    "Gradient",
    "GroundState",
    "Hamiltonian",
    "Hidden",
    "Learned",
    "Loss",
    "Magnitude",
    "MeanSquaredError",
    "Measurements",
    "NumbaDMRG",
    "Number",
    "NumberDown",
    "NumberUp",
    "Operator",
    "QuimbDMRG",
    "Samples",
    "Scaling",
    "ScalingProblem",
    "Sensitivity",
    "Shots",
    "Simplex",
    "SimulatedDevice",
    "Site",
    "Sm",
    "SoftBound",
    "Solver",
    "Sp",
    "Sx",
    "Sy",
    "Sz",
    "TenpyDMRG",
    "Trained",
    "X",
    "Y",
    "Z",
    "__version__",
    "answers",
    "benchmark",
    "boson",
    "bosons",
    "electron",
    "electrons",
    "explore_phases",
    "extrapolate",
    "fermion",
    "fermions",
    "finite_size_scaling",
    "gradient",
    "gradients",
    "learn_hamiltonian",
    "local",
    "models",
    "optimize_sensitivity",
    "phase_diagram",
    "qubit",
    "qubits",
    "response_matrix",
    "sample",
    "spin",
    "spins",
    "trace_boundary",
    "train",
]  # fmt: skip
