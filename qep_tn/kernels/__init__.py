"""Compiled contractions: arrays in, arrays out."""

from qep_tn.kernels.expectations import evaluate
from qep_tn.kernels.packing import PackedMPS, pack
from qep_tn.kernels.pairs import correlations
from qep_tn.kernels.plans import ExpectationPlan, compile_products

__all__ = ["ExpectationPlan", "PackedMPS", "compile_products", "correlations", "evaluate", "pack"]
