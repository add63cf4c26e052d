"""Train a sensor qubit for a chain of your own: here the XXZ chain, gapless against gapped.

The chain is given by its Hamiltonian, the answers by a function: nothing else is specific to it. J_z <= J_xy is the
gapless phase, J_z > J_xy the gapped antiferromagnet, whose sublattices a small staggered field tells apart. About two
minutes on two cores, and the first time two more for compilation.
"""

import numpy as np

import qep_tn as qt
from qep_tn import Z

L, NEAR = 16, (7, 8)


def draw(rng, count):
    """Chains of random anisotropy, and which phase each is in."""
    J_z = rng.uniform(0.0, 4.0, count)
    inputs = {"J_xy": np.ones(count), "J_z": J_z, "h": np.full(count, 0.05)}
    return qt.Samples.labelled(inputs, (J_z > 1).astype(int), 2)


def main(steps=150, test=100):
    """Train, and ask about chains that were never seen."""
    chain = qt.models.xxz_staggered(L)
    H = qt.models.phase_sensor(chain, sensors=1, near=NEAR)
    (A,) = qt.models.sensor_sites(L, sensors=1, near=NEAR)
    rng = np.random.default_rng(0)
    theta = {"sensor": rng.normal(0, 0.5, 3), "coupling": rng.normal(0, 0.5, len(H.parameters["coupling"]))}
    result = qt.train(
        H, theta, draw, outputs=[0.5 * (1 + Z(A)), 0.5 * (1 - Z(A))], rate=0.05, steps=steps, batch=8,
        test=draw(rng, test), test_every=max(1, steps // 3), solver=qt.NumbaDMRG(),
    )  # fmt: skip
    tested = result.history["accuracy"].dropna("step")
    for step, accuracy in zip(tested["step"].values, tested.values, strict=True):
        print(f"after {step:4d} steps: {100 * accuracy:.0f} % right")
    asked = np.array([0.3, 0.8, 1.5, 3.0])
    for J_z, (gapless, gapped) in zip(
        asked, result.predict({"J_xy": np.ones(4), "J_z": asked, "h": np.full(4, 0.05)}), strict=True
    ):
        print(f"J_z = {J_z}: gapless {gapless:.2f}, gapped {gapped:.2f}")
    return result


if __name__ == "__main__":
    main()
