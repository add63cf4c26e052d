"""Room for the response to a nudge, and windows of a chain that hold it."""

import numpy as np

from qep_tn.kernels.chain import room_of_two_sites, scratch_size, tensor_of
from qep_tn.kernels.compilation import compiled
from qep_tn.kernels.lanczos import lowest_eigenvector
from qep_tn.kernels.steps import (
    empty_whole,
    empty_window,
    move_centre_left,
    split_left,
    split_right,
    two_site_problem,
    two_site_tensor,
    update_left,
    update_right,
)

_LARGEST_RESPONSE = 0.3  # a larger one is scaled down: the state must stay what it is


@compiled
def widen_bonds(
    chain, mpo, centre, carried, reach, direction, cutoff, share, max_bond, vectors, tolerance, quiet, quiet_bonds
):
    """Give bonds room for the response to the nudge in `mpo`, without changing the state.

    From the centre in `direction` (1 or -1), at least to site `reach`, and on until what lies ahead is in the response
    what it is in the state: its density matrix in the response differs from that in the state by less than `quiet`,
    and the cross density matrix of both, what changes to first order, is below `quiet` times the response, on
    `quiet_bonds` bonds. The latter alone stops at a bond of dimension 1, where the response is orthogonal to the state.
    At each bond the nudged two-site problem is solved, and the bond's basis taken from the state's own density matrix
    plus the response's. The state changes only by what `cutoff` or `max_bond` discards.
    carried: 1-D, the response as a tensor of the centre, as a pass before left it, or empty. With it each problem is
        solved twice, from the state and from the response so far, and the basis holds both.
    vectors, tolerance: of `lowest_eigenvector`. Returns the site where the centre ends, the response there, and its
    norm.
    """
    length = chain.dims.size
    dtype = chain.tensors.dtype
    scratch, krylov = room_of_two_sites(chain, mpo, vectors)
    starts = 2 if carried.size > 0 else 1
    calm, norm = 0, 0.0
    while 0 <= centre + direction < length:
        site = centre if direction > 0 else centre - 1
        theta = two_site_tensor(chain, site)
        bond = chain.bonds[site + 1]
        rows, columns = chain.bonds[site] * chain.dims[site], chain.dims[site + 1] * chain.bonds[site + 2]
        state = theta.reshape(rows, columns)
        problem = two_site_problem(chain, mpo, site)
        # side by side in the direction whose density matrix is summed over
        shape = (rows, starts * columns) if direction > 0 else (starts * rows, columns)
        responses = np.empty(shape, dtype)
        response = np.zeros((rows, columns), dtype)
        for n in range(starts):
            nudged = theta.copy()
            if n == 1:  # the response so far in the centre's place: (l s) [m], [m] (t r)
                first = carried if direction > 0 else tensor_of(chain, site).reshape(rows * bond)
                second = tensor_of(chain, site + 1).reshape(bond * columns) if direction > 0 else carried
                nudged += np.dot(first.reshape(rows, bond), second.reshape(bond, columns)).reshape(theta.shape)
            nudged /= np.sqrt(np.vdot(nudged.reshape(theta.size), nudged.reshape(theta.size)).real)
            lowest_eigenvector(problem, nudged, krylov[:0], krylov, scratch, vectors, tolerance, 1e-3)
            nudged -= np.vdot(theta.reshape(theta.size), nudged.reshape(theta.size)) * theta
            response = nudged.reshape(rows, columns)
            norm = np.sqrt(np.vdot(response.reshape(theta.size), response.reshape(theta.size)).real)
            if norm > _LARGEST_RESPONSE:
                response *= _LARGEST_RESPONSE / norm
                norm = _LARGEST_RESPONSE
            if direction > 0:
                responses[:, n * columns : (n + 1) * columns] = response
            else:
                responses[n * rows : (n + 1) * rows] = response
        limit = min(max_bond, chain.limits[site + 1])
        weight = cutoff / max(share * norm, cutoff)
        if direction > 0:
            ahead = np.dot(np.conj(state).T, response)  # [l s] t r, [l s] t' r' -> (t r) (t' r')
            moved = np.dot(np.conj(response).T, response) - norm**2 * np.dot(np.conj(state).T, state)
            split_right(chain, site, theta, responses, weight, cutoff, limit)
            basis = tensor_of(chain, site).reshape(rows, chain.bonds[site + 1])
            at_centre = np.dot(np.conj(basis).T, response).reshape(chain.bonds[site + 1] * columns)
            update_left(chain, mpo, site, scratch)
        else:
            ahead = np.dot(response, np.conj(state).T)  # l s [t r], l' s' [t r] -> (l s) (l' s')
            moved = np.dot(response, np.conj(response).T) - norm**2 * np.dot(state, np.conj(state).T)
            split_left(chain, site, theta, responses, weight, cutoff, limit)
            basis = tensor_of(chain, site + 1).reshape(chain.bonds[site + 1], columns)
            at_centre = np.dot(response, np.conj(basis).T).reshape(rows * chain.bonds[site + 1])
            update_right(chain, mpo, site + 1, scratch)
        carried = at_centre
        centre += direction
        ahead += np.conj(ahead).T.copy()
        changed = np.sqrt(np.vdot(ahead.reshape(ahead.size), ahead.reshape(ahead.size)).real)
        moves = np.sqrt(np.vdot(moved.reshape(moved.size), moved.reshape(moved.size)).real)
        calm = calm + 1 if changed <= quiet * norm and moves <= quiet * norm**2 else 0
        if calm >= quiet_bonds and (centre - reach) * direction >= 0:
            break
    return centre, carried, norm


@compiled
def cut_window(chain, mpo, first, last, centre, limits):
    """Sites first..last as a chain of their own.

    centre: of the chain, within the window. mpo: the part of the chain's that belongs to the window; the
        environments inside are built with it. limits: what the window's bonds have room for.
    """
    window = empty_window(chain, first, last, limits, mpo.bonds)
    for site in range(first, last + 1):
        tensor_of(window, site - first)[:] = tensor_of(chain, site)
    length = last - first + 1
    for end, bond in ((0, first), (length, last + 1)):
        side, start = chain.bonds[bond], chain.environment_starts[bond]
        size = mpo.bonds[end] * side * side
        target = window.environment_starts[end]
        window.environments[target : target + size] = chain.environments[start : start + size]
    scratch = np.empty(scratch_size(window, mpo, 1), chain.tensors.dtype)
    for site in range(length - 1, centre - first, -1):
        update_right(window, mpo, site, scratch)
    for site in range(centre - first):
        update_left(window, mpo, site, scratch)
    return window


@compiled
def whole_state(chain, window, first):
    """The tensors of the chain with a window's in their place, right-canonical, in one buffer, and the bonds.

    The window's centre is on its first site, left of which the chain's tensors are left-canonical.
    """
    length = chain.dims.size
    state = empty_whole(chain, window, first)
    for site in range(length):
        inside = first <= site < first + window.dims.size
        tensor_of(state, site)[:] = tensor_of(window, site - first) if inside else tensor_of(chain, site)
    for site in range(first, 0, -1):
        move_centre_left(state, site)
    return state


@compiled
def overlap(bra, ket):
    """<bra|ket> of two windows cut from the same chain."""
    side = bra.bonds[0]
    left = np.eye(side).astype(bra.tensors.dtype)
    for site in range(bra.dims.size):
        a, b = tensor_of(bra, site), tensor_of(ket, site)
        half = np.dot(left, b.reshape(b.shape[0], b.shape[1] * b.shape[2]))  # l' [l], [l] s r -> l' s r
        conjugate = np.conj(a).reshape(a.shape[0] * a.shape[1], a.shape[2])
        left = np.dot(conjugate.T, half.reshape(a.shape[0] * a.shape[1], b.shape[2]))  # [l' s] r', [l' s] r -> r' r
    total = left[0, 0]
    for k in range(1, left.shape[0]):
        total += left[k, k]
    return total
