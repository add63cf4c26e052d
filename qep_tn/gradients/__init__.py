"""Quantum equilibrium propagation itself: losses, nudges, nudged states, errors and trust."""
