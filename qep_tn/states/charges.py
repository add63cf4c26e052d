"""A matrix product state with bonds of definite charge, from one without."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qep_tn.states.mps import MPS, BondCharges

_LEAK = 1e-5  # amplitude outside the sector that counts as not converged, rather than as another sector


def charged_form(mps: MPS, levels: Sequence[NDArray]) -> MPS | None:
    """The state with the charges of its bonds' indices, ascending; None if its charge is not definite.

    levels: the charge of each basis state, one array a site. What a state that is not quite converged has outside its
    sector is left out.
    """
    if mps.charges is not None and np.array_equal(mps.charges.levels, np.concatenate(levels)):
        return mps
    tensors, values = mps.schmidt_form()
    return _turned(mps, tensors, levels, [np.ones(1), *values])


def in_charged_bases(mps: MPS, levels: Sequence[NDArray]) -> MPS | None:
    """A right-canonical state as `charged_form` has it, its bonds turned as they are: vectors that the state does
    not occupy included. None if these do not span whole sectors.
    """
    return _turned(mps, mps.tensors, levels, [np.zeros(tensor.shape[0]) for tensor in mps.tensors])


def _turned(mps: MPS, tensors: Sequence[NDArray], levels: Sequence[NDArray], schmidt: Sequence[NDArray]) -> MPS | None:
    """Right-canonical tensors with each bond turned to eigenstates of the charge on its right.

    schmidt: values of the bond left of each site, whose bases are those of the tensors; zeros where they are not.
    """
    right = np.zeros((1, 1))  # charge operator right of the bond, in the bond's basis
    rotation, labels = np.ones((1, 1)), np.zeros(1, int)
    rotated, charges = [], [labels]
    for j in range(len(tensors) - 1, -1, -1):
        b = tensors[j]
        carried = np.tensordot(b, right, 1) + b * levels[j][:, None]  # l s [r], [r] r' -> l s r'
        right = np.tensordot(carried, b.conj(), ((1, 2), (1, 2)))  # l [s r], l' [s r] -> l l'
        known = schmidt[j].max() > 0
        weights = (schmidt[j] / schmidt[j].max()) ** 2 if known else schmidt[j]
        # commuting, and charges are integers: eigenvectors of the sum are those of both
        found, basis = np.linalg.eigh(right + 0.4 * np.diag(weights))
        charge = np.floor(found + 0.2).astype(int)
        order = np.argsort(-charge, kind="stable")  # ascending on the left
        charge, basis = charge[order], basis[:, order]
        b = np.tensordot(basis.conj().T, np.tensordot(b, rotation, 1), 1)
        amplitudes = np.sqrt(schmidt[j] ** 2 @ np.abs(basis) ** 2) if known else np.ones(len(charge))
        forbidden = charge[:, None, None] != levels[j][:, None] + labels
        if np.linalg.norm(amplitudes[:, None, None] * np.where(forbidden, b, 0)) > _LEAK:
            return None
        rotated.append(np.where(forbidden, 0, b))
        charges.append(charge)
        rotation, labels = basis, charge
    total = int(labels[0])
    return right_canonical(mps, rotated[::-1], [total - q for q in reversed(charges)], levels)


def right_canonical(mps: MPS, tensors: list[NDArray], labels: list[NDArray], levels: Sequence[NDArray]) -> MPS:
    """Tensors whose entries conserve the charge, normalised and right-canonical sector by sector."""
    labels, result = list(labels), []
    carried = np.eye(1)
    for j in range(len(tensors) - 1, 0, -1):
        merged = np.tensordot(tensors[j], carried, 1)  # l s [r], [r] c -> l s c
        left, physical, right = merged.shape
        matrix = merged.reshape(left, physical * right)
        column_charges = (labels[j + 1][None, :] - levels[j][:, None]).ravel()
        rows, kept, factor = [], [], []
        for q in np.unique(labels[j]):
            mine, allowed = np.flatnonzero(labels[j] == q), np.flatnonzero(column_charges == q)
            if not len(allowed):
                continue
            o, r = np.linalg.qr(matrix[np.ix_(mine, allowed)].conj().T)
            basis = np.zeros((o.shape[1], physical * right), o.dtype)
            basis[:, allowed] = o.conj().T
            back = np.zeros((left, o.shape[1]), o.dtype)
            back[mine] = r.conj().T
            rows.append(basis)
            factor.append(back)
            kept.append(np.full(o.shape[1], q))
        labels[j] = np.concatenate(kept)
        result.append(np.concatenate(rows).reshape(-1, physical, right))
        carried = np.concatenate(factor, axis=1)
    first = np.tensordot(tensors[0], carried, 1)
    result.append(first / np.linalg.norm(first))
    bonds = BondCharges(np.concatenate(labels), np.concatenate(levels))
    return MPS(mps.sites, tuple(np.ascontiguousarray(b) for b in reversed(result)), bonds)
