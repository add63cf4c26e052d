"""The README's performance table, from the committed results.

    python -m benchmarks.table

Writes it between the markers in README.md.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- performance -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown() -> str:
    """The table of benchmarks/results/gradient.json: seconds for one gradient, and the ratio to NumbaDMRG."""
    report = json.loads((ROOT / "benchmarks" / "results" / "gradient.json").read_text())
    libraries = list(dict.fromkeys(row["library"] for row in report["rows"]))
    lines = [
        "| (g_x, g_zz, g_zxz), L = 128 | " + " | ".join(libraries) + " |",
        "| --- |" + " --- |" * len(libraries),
    ]
    for point in dict.fromkeys(row["point"] for row in report["rows"]):
        rows = {row["library"]: row for row in report["rows"] if row["point"] == point}
        cells = [
            f"{row['seconds']:.2g} s" + ("" if name == "NumbaDMRG" else f" ({row['ratio']:.0f}x)") if row else "–"
            for name, row in ((name, rows.get(name)) for name in libraries)
        ]
        lines.append(f"| {point} {tuple(next(iter(rows.values()))['parameters'])} | " + " | ".join(cells) + " |")
    versions = ", ".join(f"{name} {report['versions'][name]}" for name in ("physics-tenpy", "quimb", "numba"))
    lines.append(f"\n{report['cpu']}, one thread, {report['date'][:10]}, {versions}.\n")
    return "\n".join(lines)


def main() -> None:
    """Write the table into the README."""
    readme = ROOT / "README.md"
    readme.write_text(MARKED.sub(lambda m: m[1] + markdown() + m[2], readme.read_text()))


if __name__ == "__main__":
    main()
