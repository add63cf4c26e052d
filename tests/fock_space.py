"""Fermions by occupation numbers: matrices that count the particles before a mode."""

import numpy as np

# Occupations of a site's modes in each of its basis states, as the package orders them
LEVELS = {"fermion": [(0,), (1,)], "spinful fermion": [(0, 0), (1, 0), (0, 1), (1, 1)]}


class FockSpace:
    """All modes of a chain in a row; a state is the tuple of their occupations.

    modes: of each site. index: of each occupation in the package's basis, site 0 the most significant.
    """

    def __init__(self, sites):
        levels = [LEVELS[site.name] for site in sites]
        states = [()]
        for at_site in levels:
            states = [state + level for state in states for level in at_site]
        counts = [len(at_site[0]) for at_site in levels]
        self.first = np.cumsum([0, *counts]).tolist()
        self.index = {state: n for n, state in enumerate(states)}

    def annihilator(self, site, mode=0):
        """Remove the particle in a mode; the sign counts the particles in the modes before it."""
        place = self.first[site] + mode
        matrix = np.zeros((len(self.index),) * 2)
        for state, column in self.index.items():
            if state[place]:
                left = (*state[:place], 0, *state[place + 1 :])
                matrix[self.index[left], column] = (-1) ** sum(state[:place])
        return matrix

    def matrix(self, name, site):
        """The operator that the package calls `name`."""
        kind, _, spin = name.partition("Up") if "Up" in name else name.partition("Down")
        c = self.annihilator(site, 1 if spin == "Down" or "Down" in name else 0)
        return {"C": c, "Cdag": c.T, "Number": c.T @ c}[kind]
