"""The exploration of the Kitaev honeycomb strip that kitaev_50x2.toml describes, in Python, and the published strip.

Prints the flux of the published 8 x 2 strip, periodic, in a field of 0.1 beside its published value (Wanjura and
Marquardt, Nat. Commun. 16 (2025), arXiv:2406.06482); then the walk on 50 x 2 qubits.
"""

import argparse

import qep_tn as qt

PUBLISHED = {(0.2, 0.2, 0.6): 0.876226985654, (0.25, 0.25, 0.5): 0.929967575507}


def main() -> None:
    """Compare, then walk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rungs", type=int, default=50)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    H, flux = qt.models.kitaev_ladder(8, periodic=True), qt.models.kitaev_fluxes(8, periodic=True)[1]
    for J, published in PUBLISHED.items():
        theta = {**dict(zip(("J_x", "J_y", "J_z"), J, strict=True)), "h": 0.1}
        ours = qt.ExactDiagonalization().ground_state(H, theta).expectation([flux])[0]
        print(f"8 x 2, (J_x, J_y, J_z) = {J}: flux {ours:.6f}, published {published:.6f}")

    flux = qt.models.kitaev_fluxes(options.rungs)[options.rungs // 2 - 1]
    walk = qt.explore_phases(
        qt.models.kitaev_ladder(options.rungs), {"J_x": 0.17, "J_y": 0.2, "J_z": 0.63, "h": 0.1}, qt.Magnitude(flux),
        train=["J_x", "J_y", "J_z"], constraints=["J_x + J_y + J_z = 1"], steps=options.steps, rate=0.03,
        solver=qt.NumbaDMRG(), progress=False,
    )  # fmt: skip
    print(walk.message)
    for n in range(walk.history.sizes["step"]):
        row = walk.history.isel(step=n)
        J = ", ".join(f"{float(row[name]):.3f}" for name in ("J_x", "J_y", "J_z"))
        print(f"{options.rungs} x 2, ({J}): flux {-float(row['loss']):.5f} +- {float(row['loss_error']):.0e}")


if __name__ == "__main__":
    main()
