"""Places for translated terms along a chain, shared by the one-dimensional models."""

from __future__ import annotations

from collections.abc import Sequence

from qep_tn.hamiltonians.operators import Operator


def windows(L: int, width: int, periodic: bool) -> list[tuple[int, ...]]:
    """The runs of `width` neighbouring sites, in the order of their first site.

    L - width + 1 of them on an open chain, L on a ring.
    """
    starts = range(L if periodic else L - width + 1)
    return [tuple((j + k) % L for k in range(width)) for j in starts]


def parameter(terms: Sequence[Operator], local: bool) -> Operator | list[Operator]:
    """One coupling a term if `local`, else one coupling for their sum. No product may occur in two terms."""
    return list(terms) if local else Operator({product: c for term in terms for product, c in term.terms.items()})


def check_length(model: str, L: int, open_minimum: int, periodic: bool) -> None:
    """Raise ValueError if a chain is too short for each of its terms to act on sites of its own.

    A ring takes three sites at least: on two, the bond (0, 1) would count twice.
    """
    minimum = max(open_minimum, 3) if periodic else open_minimum
    if isinstance(L, bool) or not isinstance(L, int) or minimum > L:
        kind = "a ring" if periodic else "an open chain"
        raise ValueError(f"{model}(L={L!r}): {kind} of this model needs a whole number of sites, {minimum} or more")
