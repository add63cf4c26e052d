"""Sixty-four qubits whose couplings nobody knows: trained through the device, and learned from what it measures.

Every field and every bond of the device is 10 % off what its controls say. Two correlations shall take given values;
gradients come from 500 shots of the free and of each nudged state. Run it: python examples/device.py
"""

import numpy as np

import qep_tn as qt
from qep_tn import X, Z

L, STEPS = 64, 30
rng = np.random.default_rng(1)

fields = [-X(j) for j in range(L)]
bonds = [-Z(j) * Z(j + 1) for j in range(L - 1)]
believed = qt.Hamiltonian(qt.qubits(L), {"g_x": fields, "g_zz": bonds})
theta = {"g_x": np.full(L, 1.5), "g_zz": np.full(L - 1, 1.0)}
hidden = {name: 0.1 * value * rng.standard_normal(len(value)) for name, value in theta.items()}

device = qt.SimulatedDevice(believed, hidden, solver=qt.NumbaDMRG(), shots=500, seed=0)
loss = qt.MeanSquaredError([Z(20) * Z(24), X(40) * X(42)], [0.5, 0.5])


def true_loss(controls):
    """What nobody sees: the loss of the true Hamiltonian, computed."""
    H, couplings = device.truth(controls)
    return loss.value(qt.NumbaDMRG().ground_state(H, couplings).expectation(loss.observables))


walk = qt.explore_phases(
    device, theta, loss, direction="minimize", optimizer="adam", rate=0.05, steps=STEPS, beta=0.5, progress=False
)
end = {name: walk.history[name].values[-1] for name in theta}
print(f"{STEPS} steps, {int(walk.history['ground_states'][-1])} states prepared")
for where, row, controls in (("before", 0, theta), ("after", -1, end)):
    measured, error = (float(walk.history[name][row]) for name in ("loss", "loss_error"))
    print(f"loss {where}: measured {measured:.3f} +- {error:.3f}, true {true_loss(controls):.3f}")

# ground states at controls that differ by known amounts say what offsets are hidden, and in which unit of energy
settings = [theta, *({**theta, "g_x": theta["g_x"] + change} for change in (0.5, -0.4))]
data = [qt.Measurements.on(device, s, [*fields, *bonds], shots=10_000, offsets=True) for s in settings]
nothing = {name: 0 * value for name, value in theta.items()}
learned = qt.learn_hamiltonian(believed, nothing, data, solver=qt.FreeFermion())
distance = np.concatenate([learned.theta[name] - hidden[name] for name in theta])
bars = np.concatenate([learned.error[name] for name in theta])
offset = np.sqrt(np.mean(np.concatenate(list(hidden.values())) ** 2))
print(f"{len(distance)} offsets learned, {learned.message}, chi-square {learned.chi_square:.0f} for {learned.degrees}")
print(
    f"typical offset {offset:.3f}, typical distance from the hidden one {np.sqrt(np.mean(distance**2)):.3f}, "
    f"{np.mean(np.abs(distance) <= bars):.0%} within their bars"
)
