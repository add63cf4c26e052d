"""The free state at work, and room on its bonds for the response to a nudge."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from qep_tn.gradients.nudge import Nudge
from qep_tn.gradients.operator_bases import with_operator
from qep_tn.hamiltonians.charges import Charges
from qep_tn.kernels import (
    BlockMPO,
    Chain,
    ChargedChain,
    ChargedMPO,
    bond_limits,
    compile_kernels,
    cut_window,
    load_chain,
    move_centre,
    widen_bonds,
)
from qep_tn.states.charges import in_charged_bases
from qep_tn.states.ground_state import GroundState
from qep_tn.states.mps import MPS

FIRST_ROOM = 48  # sites on either side of the nudge
_QUIET = 5.0  # a response below this times the cutoff needs no more room on the bonds
EDGE = 1e-4  # the response at the window's edge, relative to the largest, in units of rtol
_LONG_RANGE = 12  # bonds that a product spans; the response then reaches everywhere
_WIDEN_VECTORS = 4
# A response is whole when its norms after two passes differ by less than this share: after the first two by 2e-5 in
# gapped chains, by up to 0.02 at criticality, and by 0.12 at the Majumdar-Ghosh point, where a pass brings it one dimer
# further. With 0.007, products of both ends of such a chain were 18 % wrong: their gradient is in what still grows
_GROWN = 7e-4
# What bonds hold of the response, over what they hold of the state. What they leave out changes a gradient by its
# square: with 300 instead, gradients of chains in all phases and at criticality are as right as with 1
_SHARE_OVER_CUTOFF = 75


log = logging.getLogger(__name__)


class Room(NamedTuple):
    """A window of the free state whose bonds have room for the response.

    first: its first site on the whole chain. centre: its orthogonality centre, there too. reach: how many sites
    beyond the nudge the room reaches. response: norm of d|psi>/d beta, as its two-site problems have it.
    """

    chain: Chain | ChargedChain
    first: int
    centre: int
    reach: int
    response: float

    @property
    def last(self) -> int:
        """Its last site on the whole chain."""
        return self.first + len(self.chain.dims) - 1

    @property
    def size(self) -> int:
        """The sum of its bond dimensions; 0 if they are all as large as they can be."""
        largest = np.array_equal(self.chain.bonds, self.chain.limits)
        return 0 if largest else int(self.chain.bonds.sum())


@dataclass(frozen=True)
class FreeChain:
    """A free state, and how its bonds get room for the response.

    cutoff, max_bond: of the bonds. strong: strength of the nudge that makes the room. rounds: of passes that make it,
        at most. rtol: of the gradient.
    """

    nudge: Nudge
    free: GroundState
    cutoff: float
    max_bond: int
    strong: float
    rounds: int
    rtol: float

    @property
    def share(self) -> float:
        """What the bonds hold of the response, in amplitude: what they leave out changes the gradient by its square."""
        return _SHARE_OVER_CUTOFF * self.cutoff

    @property
    def quiet(self) -> float:
        """Where the response is so close to the state it needs no more room on the bonds."""
        return max(_QUIET * self.cutoff, self.share)

    @cached_property
    def support(self) -> tuple[int, int]:
        """First and last site of the observables."""
        sites = [site for operator in self.nudge.observables for site in operator.support]
        return min(sites), max(sites)

    @cached_property
    def range(self) -> int:
        """How many bonds the longest product of H and of its couplings spans."""
        products = [product for product in (*self.nudge.free.products, *self.nudge.perturbation.terms) if product]
        return max((product[-1][0] - product[0][0] for product in products), default=1)

    @cached_property
    def roomy(self) -> MPS:
        """The free state on bonds with room for O|psi>; in blocks where H and the nudge conserve its charges."""
        state = with_operator(self.free.mps, self.nudge.perturbation, 0.0, self.max_bond)
        if self.free.mps.charges is None or self.free.sector is None:
            return state
        names = tuple(self.free.sector)
        charged = None
        if self.nudge.charged_mpo(self.strong, names) is not None:
            charged = in_charged_bases(state, Charges.of_sites(state.sites, names).levels)
        if charged is None:
            log.info("the nudge does not conserve %s: dense tensors", " and ".join(names))
        return charged or state

    def mpo(self, beta: float) -> BlockMPO | ChargedMPO:
        """Of H + beta * O."""
        mpo: BlockMPO | ChargedMPO | None = None
        if self.roomy.charges is not None and self.free.sector is not None:
            mpo = self.nudge.charged_mpo(beta, tuple(self.free.sector))
        mpo = mpo or self.nudge.mpo(beta)
        return mpo._replace(values=mpo.values.astype(self.dtype, copy=False))

    @cached_property
    def dtype(self) -> np.dtype:
        """Of H, of the nudge and of the state together."""
        return np.result_type(self.nudge.mpo(self.strong).values, self.free.mps.packed.data)

    @cached_property
    def base(self) -> Chain | ChargedChain:
        """The free state at work, its centre on the nudge's first site, bonds with room for O|psi>."""
        packed, charges = self.roomy.packed, self.roomy.charges
        packed = packed._replace(data=packed.data.astype(self.dtype, copy=False))
        mpo = self.mpo(0.0)
        # a nudge may be complex where H and its ground state are real
        compile_kernels(str(self.dtype), charged=charges is not None)
        chain = load_chain(packed, mpo, packed.bonds, None if charges is None else charges.arrays)
        move_centre(chain, mpo, 0, self.support[0])
        return chain

    def widened(self, room: int) -> Room:
        """The free state with room for the response, in a window of at least `room` sites beyond the nudge.

        Outwards to the right, all the way to the left, until the response no longer grows, and back: bonds right of the
        nudge end with the response in their right bases, bonds left of it in their left ones, where it is local.
        """
        length = len(self.nudge.free.sites)
        lowest, highest = self.support
        cutoff, share, max_bond = self.cutoff, self.share, self.max_bond
        strong = self.mpo(self.strong)
        tolerance = 0.1 * cutoff * self.strong
        if self.range > _LONG_RANGE:
            room = length
        while True:
            first, last = max(0, lowest - room), min(length - 1, highest + room)
            bonds = self.base.bonds[first : last + 2]
            exact = bond_limits(self.base.dims, max_bond)[first : last + 2]
            limits = np.maximum(bonds, exact)
            limits[[0, -1]] = bonds[[0, -1]]
            mpo = part_of(strong, first, last)
            chain = cut_window(self.base, mpo, first, last, lowest, limits)
            quiet = (cutoff, share, max_bond, _WIDEN_VECTORS, tolerance, self.quiet, max(3, self.range))
            back = (cutoff, share, max_bond, _WIDEN_VECTORS, tolerance, np.inf, 1)
            left, size, unknown = lowest - first, 0.0, np.empty(0, self.dtype)
            response = unknown
            for n in range(self.rounds):  # the first one's response is not worth carrying on
                before = size
                right, response, there = widen_bonds(
                    chain, mpo, left, response if n else unknown, highest - first, 1, *quiet
                )
                left, response, size = widen_bonds(
                    chain, mpo, right, response if n else unknown, lowest - first, -1, *quiet
                )
                if min(abs(size - there), abs(size - before)) <= _GROWN * size:
                    break
            centre, *_ = widen_bonds(chain, mpo, left, response if n else unknown, highest - first, 1, *back)
            reach = max(lowest - first - left, first + right - highest)
            result = Room(chain, first, first + centre, reach, size / self.strong)
            cut_short = left == 0 < first or first + right == last < length - 1
            if (first == 0 and last == length - 1) or (not cut_short and self.window_reach(result) <= room):
                return result
            room = 4 * room

    def window_reach(self, room: Room) -> int:
        """How far the nudged states differ from the free one, if the response decays on as within the room."""
        if self.range > _LONG_RANGE:
            return len(self.nudge.free.sites)
        decay = math.log(EDGE * self.rtol) / min(math.log(self.quiet), -1.0)
        return math.ceil(1.3 * decay * room.reach) + 4


def part_of(mpo: BlockMPO | ChargedMPO, first: int, last: int) -> BlockMPO | ChargedMPO:
    """The MPO of sites first..last, its outer bonds open."""
    inner = slice(first, last + 2)
    if isinstance(mpo, ChargedMPO):
        mpo = mpo._replace(charge_starts=mpo.charge_starts[inner])
    return mpo._replace(starts=mpo.starts[inner], bonds=mpo.bonds[inner])
