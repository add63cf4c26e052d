"""Devices: Hamiltonians that nobody knows, whose ground states are prepared and measured; real and simulated."""
