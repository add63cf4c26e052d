"""The descent that all trainings share."""

import numpy as np
import pytest

import qep_tn as qt
from qep_tn import X, Z
from qep_tn.descent.loop import Descent
from qep_tn.descent.methods import AlongGradient
from qep_tn.descent.objective import Accuracy, Batch
from qep_tn.descent.update_rules import UPDATES
from qep_tn.runs.folder import RunFolder
from qep_tn.runs.loop import carry_through

L = 6
EXACT = Accuracy(qt.ExactDiagonalization(), 1e-4, "auto", "symmetric")


def batch():
    """Three fields, each with a target of its own, that share the couplings."""
    H = qt.models.cluster_ising(L)
    samples = [({"g_x": g}, qt.MeanSquaredError([X(2), Z(1) * Z(4)], [0.3 * g, 0.5])) for g in (0.5, 1.0, 2.0)]
    trained = np.array([label in ("g_zz", "g_zxz") for label in H.labels])
    return Batch(H, samples, trained, EXACT)


def descent(steps):
    return Descent(batch(), AlongGradient(UPDATES["adam"], 0.05, None), np.array([0.0, 0.7, 0.3]), steps)


def test_a_batch_is_the_mean_of_its_samples_gradients():
    objective = batch()
    position = np.array([0.0, 0.7, 0.3])  # its g_x is not used
    found = objective.evaluate(position, ())
    each = [
        qt.gradient(objective.H, {"g_zz": 0.7, "g_zxz": 0.3, **inputs}, loss, solver=EXACT.solver)
        for inputs, loss in objective.samples
    ]
    assert found.value == pytest.approx(np.mean([g.value for g in each]), abs=1e-14)
    for k, name in ((1, "g_zz"), (2, "g_zxz")):
        assert found.slope[k] == pytest.approx(np.mean([g.gradient[name] for g in each]), abs=1e-10)
    assert found.slope[0] == 0
    assert found.error[0] == 0


def test_a_batch_descends_and_goes_on_after_an_interruption_to_the_same_end(tmp_path):
    whole, part = descent(8), descent(3)
    run = RunFolder.create(tmp_path / "whole")
    carry_through(whole, run, {"rate": 0.05}, "batch", progress=False)
    run.close()
    assert whole.table["loss"][-1] < whole.table["loss"][0]
    assert whole.stop is None
    assert whole.rows == 9
    run = RunFolder.create(tmp_path / "part")
    carry_through(part, run, {"rate": 0.05}, "batch", progress=False)
    run.close()
    run = RunFolder.create(tmp_path / "part", resume=True)
    carry_through(descent(8), run, {"rate": 0.05}, "batch", progress=False)
    run.close()
    assert (tmp_path / "part/history.nc").read_bytes() == (tmp_path / "whole/history.nc").read_bytes()


def test_a_batch_does_not_go_on_with_another_setting(tmp_path):
    run = RunFolder.create(tmp_path / "run")
    carry_through(descent(1), run, {"rate": 0.05}, "batch", progress=False)
    run.close()
    run = RunFolder.create(tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match=r"made with other settings: rate was 0\.05, and is 0\.1"):
        carry_through(descent(2), run, {"rate": 0.1}, "batch", progress=False)
    run.close()
