"""Expectation values of products of one-site operators, all in one sweep along an MPS."""

import numpy as np

from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.packing import PackedMPS, apply_to_bra, largest_tensor, site_matrix, site_tensor
from qep_tn.kernels.plans import ExpectationPlan


def evaluate(plan: ExpectationPlan, packed: PackedMPS, first: int = 0) -> np.ndarray:
    """Expectation values of a plan's products in a normalized right-canonical MPS, centre on its first site.

    first: where on the plan's chain the MPS begins: it may be a window of the chain, with outer bonds of any
        dimension, left-canonical tensors to its left and right-canonical ones to its right. Values of products that
        are not inside the window mean nothing.
    Returns (number of products,): real if the MPS and all matrices are, else complex.
    Costs 2 matrix products of O(χ³ d) per node of the plan, and O(χ² d) per product. Releases the GIL.
    Raises ValueError if the plan was made for other physical dimensions.
    """
    if not np.array_equal(plan.dims[first : first + len(packed.dims)], packed.dims):
        raise ValueError(f"the plan is for physical dimensions {plan.dims}, the MPS has {packed.dims}")
    dtype = np.result_type(plan.matrices, packed.data)
    plan = plan._replace(matrices=plan.matrices.astype(dtype, copy=False))
    packed = packed._replace(data=packed.data.astype(dtype, copy=False))
    return _sweep(plan, packed, first)[plan.values]


@compiled
def _sweep(plan, mps, first):
    """The identity's value, 1, and after it those that the plan's steps yield; unused places at the end."""
    sites = min(plan.nodes.size - first, mps.dims.size)
    environment_size, half_size = mps.bonds[0] ** 2, 1
    for site in range(sites):
        nodes = plan.nodes[first + site]
        environment_size = max(environment_size, nodes * mps.bonds[site] ** 2)
        half_size = max(half_size, nodes * site_tensor(mps, site).size)
    if sites > 0:  # the nodes that the last site makes
        largest_child = plan.nodes[first + sites] if first + sites < plan.nodes.size else 0
        environment_size = max(environment_size, largest_child * mps.bonds[sites] ** 2)
    environments = np.zeros(environment_size, mps.data.dtype)  # of the nodes left of a site
    for k in range(mps.bonds[0]):
        environments[k * mps.bonds[0] + k] = 1  # of the first site: the identity, on node 0
    grown = np.empty_like(environments)  # of those right of it
    halves = np.empty(half_size, mps.data.dtype)
    scratch = np.empty(largest_tensor(mps), mps.data.dtype)
    values = np.ones(plan.steps.shape[0] + 1, mps.data.dtype)

    for site in range(sites):
        ket = site_tensor(mps, site)
        left, dim, right = ket.shape
        nodes = plan.nodes[first + site]
        half = halves[: nodes * ket.size].reshape(nodes * left, dim * right)
        environment = environments[: nodes * left * left].reshape(nodes * left, left)
        np.dot(environment, ket.reshape(left, dim * right), half)  # [node l*] [l], [l] p r -> node l* p r
        half_of = half.reshape(nodes, left * dim, right)
        bra = ket.reshape(left * dim, right)  # until the first step applies a matrix
        applied = -1
        for step in range(plan.step_offsets[first + site], plan.step_offsets[first + site + 1]):
            matrix, node, child, value = plan.steps[step]
            if matrix != applied:
                bra = apply_to_bra(site_matrix(plan.matrices, plan.matrix_offsets, matrix, dim), ket, scratch)
                applied = matrix
            if child >= 0:
                target = grown[child * right * right : (child + 1) * right * right].reshape(right, right)
                np.dot(bra.T, half_of[node], target)  # r* [(l* p)], [(l* p)] r -> r* r
            if value >= 0:
                # [(l* p r)], [(l* p r)] -> value, because all right of here is the identity
                values[value] = np.dot(bra.ravel(), half_of[node].ravel())
        environments, grown = grown, environments
    return values
