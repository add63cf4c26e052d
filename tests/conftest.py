"""What several tests share."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings
from threadpoolctl import threadpool_limits

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"

threadpool_limits(1)  # matrices are small: a second BLAS thread only waits

# Solvers take as long as they take, a first call compiles, and shrinking a failure would take all day.
settings.register_profile("physics", deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
settings.load_profile("physics")


@pytest.fixture
def reference():
    """The folder of published data, beside the checkout's parent; absent, the test is skipped."""
    if not REFERENCE.exists():
        pytest.skip(f"the published data are not at {REFERENCE}")
    return REFERENCE


@pytest.fixture
def blank(monkeypatch):
    """No figure is drawn, which takes longer than many a run; tests/test_plots.py has them drawn."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, file, **_: Path(file).write_text("figure"))


@pytest.fixture
def rng():
    return np.random.default_rng(20)
