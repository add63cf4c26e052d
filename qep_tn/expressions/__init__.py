"""Operators, losses and constraints from text."""
