"""qep-tn benchmark: solvers side by side on a user's model at several lengths."""

from __future__ import annotations

from pathlib import Path

from qep_tn.commands.run import Run
from qep_tn.configuration import build
from qep_tn.figures.run import plot_run
from qep_tn.tasks.benchmark import ScalingProblem, benchmark
from qep_tn.tasks.report import benchmark_table


def measure(run: Run, config: Path) -> None:
    """Time every solver at every length. config: the file, for messages."""
    section = run.config.benchmark

    def problem(L: int) -> ScalingProblem:
        H = build.hamiltonian(run.config, L)
        return ScalingProblem(
            H, build.theta(run.config, H, shortened=True), build.loss(section.objective, H, "benchmark")
        )

    try:
        lengths = {L: problem(L) for L in section.lengths}
        solvers = [build.solver_named(name, run.config, run.H) for name in section.solvers]
    except ValueError as error:
        raise ValueError(f"{config}: {error}") from None
    result = benchmark(
        lengths.__getitem__, section.lengths, solvers=solvers, rtol=section.rtol, repeat=section.repeat,
        limit=section.limit, run=run.folder,
    )  # fmt: skip
    print(benchmark_table(result), f"results in {run.folder.path}", sep="\n")
    plot_run(run.folder.path)
