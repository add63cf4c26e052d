"""Expectation values that were measured, as data for a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qep_tn.devices.device import Device
from qep_tn.devices.on_device import on_device
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator

_ROUNDING = 1e-10  # of the largest eigenvalue of a covariance


@dataclass(frozen=True, eq=False)
class Measurements:
    """Expectation values of operators in one ground state, as they were measured.

    operators, values: one value for each. errors: standard errors, (M,), or a covariance, (M, M); None where nobody
        knows: then all count alike, and what they scatter about the fit is their error.
    applied: parameter name -> what was added to the unknown couplings, as the controls of a device whose offsets are
        unknown; for all that it leaves out nothing was.

    Raises ValueError for what does not fit together.
    """

    operators: Sequence[Operator]
    values: ArrayLike
    errors: ArrayLike | None = None
    applied: Mapping[str, ArrayLike] = field(default_factory=dict)

    def __post_init__(self) -> None:
        operators, values = tuple(self.operators), np.asarray(self.values)
        if wrong := next((a for a in operators if not isinstance(a, Operator)), None):
            raise ValueError(f"Measurements: {wrong!r} is no operator; give such as X(0) * X(2)")
        if len(set(operators)) < len(operators):
            raise ValueError("Measurements: an operator is there twice; give each once, with what all shots say")
        if np.iscomplexobj(values):
            raise ValueError("Measurements: values are complex; expectation values are real")
        values = values.astype(float)
        if not operators or values.shape != (len(operators),) or not np.isfinite(values).all():
            raise ValueError(
                f"Measurements: {len(operators)} operators but values of shape {values.shape}; give a finite one each"
            )
        errors = None if self.errors is None else np.asarray(self.errors, float)
        if errors is not None:
            own = np.diag(errors) if errors.ndim == 2 else errors
            if errors.shape not in (values.shape, values.shape * 2) or not (
                np.isfinite(errors).all() and (own > 0).all()
            ):
                raise ValueError(
                    f"Measurements: errors of shape {errors.shape}; give a positive standard error for each of "
                    f"{len(values)} values, or their covariance"
                )
            if errors.ndim == 2:
                own = np.linalg.eigvalsh((errors + errors.T) / 2)
                if np.abs(errors - errors.T).max() > _ROUNDING * own[-1] or own[0] < -_ROUNDING * own[-1]:
                    raise ValueError(
                        "Measurements: errors are no covariance, which is symmetric and has no negative eigenvalue"
                    )
        for name, value in (("operators", operators), ("values", values), ("errors", errors)):
            object.__setattr__(self, name, value)

    @classmethod
    def on(
        cls, device: Device, theta: Theta, operators: Sequence[Operator], *, shots: int | None = None,
        offsets: bool = False, batches: int = 1,
    ) -> Measurements:  # fmt: skip
        """What a device measures at the controls theta.

        shots: of every circuit; by default the device's own. offsets: whether what it adds to theta is unknown, and to
            be learned, and not the couplings themselves.
        batches: how many measurements the shots are taken in. With several, what these scatter gives a covariance:
            outcomes of one circuit are correlated, and errors alone do not say so.
        """
        H, solver = on_device(device, None, shots)
        assert solver is not None
        if not 1 <= batches <= solver.settings()["shots"] // 2:
            raise ValueError(f"batches = {batches}: from 1 to half of the shots")
        if batches > 1:
            _, solver = on_device(device, None, solver.settings()["shots"] // batches)
            assert solver is not None
        found = [solver.observed(H, theta, tuple(operators)) for _ in range(batches)]
        values = np.array([each.values for each in found])
        errors = found[0].errors
        if batches > 1:
            errors = np.cov(values.T).reshape(len(operators), -1) / batches
            # where all batches agree, the error is not zero
            own = np.maximum(np.diag(errors), (np.array([each.errors for each in found]) ** 2).mean(axis=0) / batches)
            np.fill_diagonal(errors, own)
        return cls(tuple(operators), values.mean(axis=0), errors, dict(theta) if offsets else {})

    @property
    def weights(self) -> NDArray:
        """One over the standard error of each value; one where nobody knows it."""
        if self.errors is None:
            return np.ones(len(self.operators))
        errors = np.asarray(self.errors)
        return 1 / np.sqrt(np.diag(errors)) if errors.ndim == 2 else 1 / errors

    @property
    def weighted_covariance(self) -> NDArray:
        """Of the values times their weights, (M, M)."""
        if self.errors is None or np.ndim(self.errors) == 1:
            return np.eye(len(self.operators))
        return np.asarray(self.errors) * np.outer(self.weights, self.weights)

    def shift(self, H: Hamiltonian) -> NDArray:
        """What was added to every coupling of H. Raises ValueError if it does not fit."""
        zero = H.unflatten(np.zeros(len(H.couplings)))
        if unknown := next((name for name in self.applied if name not in zero), None):
            raise ValueError(f"Measurements: applied has {unknown!r}, but the parameters are {', '.join(zero)}")
        return H.flatten({**zero, **self.applied})
