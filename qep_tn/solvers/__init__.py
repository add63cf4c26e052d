"""Solvers: frozen settings with one verb, `ground_state`."""
