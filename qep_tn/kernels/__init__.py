"""Compiled contractions and DMRG sweeps: arrays in, arrays out."""

from qep_tn.kernels.chain import Chain, bond_limits, packed_tensors, placed
from qep_tn.kernels.charged_chain import ChargedChain, ChargedMPO, all_labels, with_labels
from qep_tn.kernels.charged_variance import expectation_in_blocks
from qep_tn.kernels.effective import BlockMPO
from qep_tn.kernels.expectations import evaluate
from qep_tn.kernels.first_call import compile_for_excited_states, compile_kernels
from qep_tn.kernels.halves import SplitOperator, apply_halves
from qep_tn.kernels.krylov import apply_sparse, next_lanczos_vector
from qep_tn.kernels.mean_field import MeanField, anneal, sort_factors
from qep_tn.kernels.orthogonal import load_lower, orthogonal_sweep
from qep_tn.kernels.packing import PackedMPS, pack
from qep_tn.kernels.pairs import correlations
from qep_tn.kernels.plans import ExpectationPlan, compile_products
from qep_tn.kernels.response import cut_window, overlap, whole_state, widen_bonds
from qep_tn.kernels.sampling import sample_levels
from qep_tn.kernels.sweeps import load_chain, move_centre, one_site_pass, two_site_sweep
from qep_tn.kernels.variance import energy, residual_overlap

__all__ = [
    "BlockMPO",
    "Chain",
    "ChargedChain",
    "ChargedMPO",
    "ExpectationPlan",
    "MeanField",
    "PackedMPS",
    "SplitOperator",
    "all_labels",
    "anneal",
    "apply_halves",
    "apply_sparse",
    "bond_limits",
    "compile_for_excited_states",
    "compile_kernels",
    "compile_products",
    "correlations",
    "cut_window",
    "energy",
    "evaluate",
    "expectation_in_blocks",
    "load_chain",
    "load_lower",
    "move_centre",
    "next_lanczos_vector",
    "one_site_pass",
    "orthogonal_sweep",
    "overlap",
    "pack",
    "packed_tensors",
    "placed",
    "residual_overlap",
    "sample_levels",
    "sort_factors",
    "two_site_sweep",
    "whole_state",
    "widen_bonds",
    "with_labels",
]
