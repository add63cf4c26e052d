"""Expectation values of MPOs where a charge is conserved, sector by sector."""

import numpy as np

from qep_tn.kernels.block_growth import grow_right_blocks
from qep_tn.kernels.chain import tensor_of
from qep_tn.kernels.charged_chain import labels_of, levels_of, state_charges
from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.sectors import apply_blocks, packed_vector, plan_blocks, sectors_of


@compiled
def expectation_in_blocks(chain, mpo):
    """<MPO> of a right-canonical charged chain, normalised, centre on site 0; its environments are not used."""
    length = chain.dims.size
    room, work = 0, 0
    for site in range(length):
        room = max(room, mpo.bonds[site + 1] * chain.bonds[site + 1] ** 2)
        size = chain.bonds[site] * chain.dims[site] * chain.bonds[site + 1]
        work = max(work, size * (mpo.bonds[site] + mpo.bonds[site + 1] + 1))
    environment, grown = np.empty(room, chain.tensors.dtype), np.empty(room, chain.tensors.dtype)
    scratch = np.empty(work, chain.tensors.dtype)
    for site in range(length - 1, -1, -1):
        blocks = mpo.blocks[mpo.starts[site] : mpo.starts[site + 1]]
        values = mpo.values[mpo.starts[site] : mpo.starts[site + 1]]
        before, after = sectors_of(labels_of(chain, site)), sectors_of(labels_of(chain, site + 1))
        row, column = state_charges(mpo, site), state_charges(mpo, site + 1)
        tensor = tensor_of(chain, site)
        if site > 0:
            grow_right_blocks(
                blocks, values, before, levels_of(chain, site), after, row, column, environment, tensor, grown, scratch
            )  # fmt: skip
            environment, grown = grown, environment
        else:
            plan = plan_blocks(blocks, values, before, levels_of(chain, site), after, row, column)
            x = packed_vector(plan, tensor)
            y = np.empty_like(x)
            apply_blocks(plan, grown[:0], environment, x, y, scratch)
    return np.vdot(x, y).real
