"""Chains, rings and ladders: where their sites stand in a matrix product state, in space, and which are neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bond = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Lattice:
    """A lattice of N sites, in an order for a matrix product state in which neighbours are near.

    sites: where a site stands in that order, (length,) whole numbers along a chain or ring, (rungs, 2) on a ladder.
    positions: of the sites in that order, (N, 3), in lattice constants.
    bonds: kind -> pairs of places in that order, along the lattice; entry n of "chain" joins sites n and n + 1, entry
        2 n + row of "leg" joins sites (n, row) and (n + 1, row), entry n of "rung" joins sites (n, 0) and (n, 1).
    """

    sites: NDArray
    positions: NDArray
    bonds: Mapping[str, tuple[Bond, ...]]


def chain(length: int, periodic: bool = False) -> Lattice:
    """A chain, or a ring that is folded flat: 0, L - 1, 1, L - 2, ..., so that neighbours are two places apart at most.

    A ring's bond L - 1 joins its last site and its first. Raises ValueError for fewer than two sites, three on a ring.
    """
    _check("chain", "length", length, periodic)
    sites = _order(length, periodic)
    ends = range(length if periodic else length - 1)
    bonds = tuple((int(sites[n]), int(sites[(n + 1) % length])) for n in ends)
    return Lattice(sites, _placed(sites, _along(length, periodic)), {"chain": bonds})


def ladder(rungs: int, periodic: bool = False) -> Lattice:
    """Two chains beside each other, rung by rung; or two rings, whose rungs are folded as the sites of `chain`.

    Legs are four places apart at most on a ring, two on an open ladder, rungs one.
    Raises ValueError for fewer than two rungs, three on a ring.
    """
    _check("ladder", "rungs", rungs, periodic)
    sites = 2 * _order(rungs, periodic)[:, None] + np.arange(2)
    ends = range(rungs if periodic else rungs - 1)
    legs = tuple((int(sites[n, row]), int(sites[(n + 1) % rungs, row])) for n in ends for row in range(2))
    steps = tuple((int(sites[n, 0]), int(sites[n, 1])) for n in range(rungs))
    places = np.repeat(_along(rungs, periodic), 2, axis=0) + np.tile([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], (rungs, 1))
    return Lattice(sites, _placed(sites.ravel(), places), {"leg": legs, "rung": steps})


def _check(kind: str, counted: str, number: int, periodic: bool) -> None:
    minimum = 3 if periodic else 2
    if isinstance(number, bool) or not isinstance(number, int) or number < minimum:
        closed = "closed to a ring" if periodic else "open"
        raise ValueError(f"{kind}({counted}={number!r}): must be a whole number, {minimum} or more if {closed}")


def _order(length: int, periodic: bool) -> NDArray:
    """Where sites 0, 1, ... stand: one after the other, or a ring's two halves interleaved."""
    n = np.arange(length)
    return np.where(2 * n < length, 2 * n, 2 * (length - 1 - n) + 1) if periodic else n


def _along(length: int, periodic: bool) -> NDArray:
    """Positions one lattice constant apart, on a line or on a circle, (length, 3)."""
    n = np.arange(length)
    if not periodic:
        return np.stack([n, 0.0 * n, 0.0 * n], axis=1)
    angle, radius = 2 * np.pi * n / length, 0.5 / np.sin(np.pi / length)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 0.0 * n], axis=1)


def _placed(sites: NDArray, positions: NDArray) -> NDArray:
    placed = np.empty_like(positions)
    placed[sites] = positions
    return placed
