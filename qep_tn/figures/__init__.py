"""Figures fit for a paper, from a run's files."""
