"""States on their way into the sweeps of the compiled engine, and out of them."""

from __future__ import annotations

import numpy as np

from qep_tn.hamiltonians.sites import Sites
from qep_tn.kernels import (
    BlockMPO,
    Chain,
    ChargedChain,
    ChargedMPO,
    all_labels,
    bond_limits,
    load_chain,
    packed_tensors,
)
from qep_tn.states.mps import MPS, BondCharges


def chain_of(state: MPS, mpo: BlockMPO | ChargedMPO, max_bond: int) -> Chain | ChargedChain:
    """A state at work, with room for bonds up to `max_bond`; in blocks where it and the MPO have charges.

    mpo: real or complex as the state shall be.
    """
    packed = state.packed._replace(data=state.packed.data.astype(mpo.values.dtype, copy=False))
    charges = state.charges.arrays if isinstance(mpo, ChargedMPO) and state.charges is not None else None
    return load_chain(packed, mpo, np.maximum(bond_limits(packed.dims, max_bond), packed.bonds), charges)


def state_of(chain: Chain | ChargedChain, sites: Sites) -> MPS:
    """The state of a chain whose centre is on site 0."""
    charges = BondCharges(all_labels(chain), chain.levels) if isinstance(chain, ChargedChain) else None
    return MPS.from_packed(sites, packed_tensors(chain), charges)
