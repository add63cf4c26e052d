"""Training on samples: a Hamiltonian whose ground states give the right answers."""
