"""Quantum equilibrium propagation on tensor networks: gradients for every coupling of a long quantum chain."""

from qep_tn import models
from qep_tn._version import __version__
from qep_tn.hamiltonian import Hamiltonian
from qep_tn.losses import Expectation, FunctionLoss, Loss, Magnitude, MeanSquaredError
from qep_tn.mps import MPS
from qep_tn.operators import Create, Destroy, Number, Operator, Sm, Sp, Sx, Sy, Sz, X, Y, Z, local
from qep_tn.propagation import DegenerateGroundStateWarning, Gradient, gradient, response_matrix
from qep_tn.sites import Site, boson, bosons, qubit, qubits, spin, spins
from qep_tn.solvers import ExactDiagonalization, FreeFermion, GroundState, NumbaDMRG, QuimbDMRG, TenpyDMRG
from qep_tn.tasks.boundary import Boundary, trace_boundary
from qep_tn.tasks.explore import Exploration, explore_phases
from qep_tn.tasks.finite_size import Scaling, extrapolate, finite_size_scaling
from qep_tn.tasks.phase_diagram import phase_diagram
from qep_tn.tasks.sensitivity import Sensitivity, optimize_sensitivity

__all__ = [
    "MPS",
    "Boundary",
    "Create",
    "DegenerateGroundStateWarning",
    "Destroy",
    "ExactDiagonalization",
    "Expectation",
    "Exploration",
    "FreeFermion",
    "FunctionLoss",
    "Gradient",
    "GroundState",
    "Hamiltonian",
    "Loss",
    "Magnitude",
    "MeanSquaredError",
    "NumbaDMRG",
    "Number",
    "Operator",
    "QuimbDMRG",
    "Scaling",
    "Sensitivity",
    "Site",
    "Sm",
    "Sp",
    "Sx",
    "Sy",
    "Sz",
    "TenpyDMRG",
    "X",
    "Y",
    "Z",
    "__version__",
    "boson",
    "bosons",
    "explore_phases",
    "extrapolate",
    "finite_size_scaling",
    "gradient",
    "local",
    "models",
    "optimize_sensitivity",
    "phase_diagram",
    "qubit",
    "qubits",
    "response_matrix",
    "spin",
    "spins",
    "trace_boundary",
]  # fmt: skip
