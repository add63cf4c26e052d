"""Capacitively coupled transmons in a row."""

from __future__ import annotations

from qep_tn.hamiltonians.hamiltonian import Hamiltonian
from qep_tn.hamiltonians.operators import Create, Destroy, Number, Operator, Sm, Sp, X
from qep_tn.hamiltonians.sites import bosons, qubits
from qep_tn.models.chain import check_length, parameter, windows


def transmon_array(L: int, levels: int = 4, local: bool = False, drive: bool = False) -> Hamiltonian:
    """H/h = sum_j f_j n_j + (a_j / 2) n_j (n_j - 1) + sum_j g_j (b+_j b_{j+1} + b+_{j+1} b_j), in GHz.

    Parameters: `frequency` f, `anharmonicity` a, `coupling` g; with `drive`, also `drive` e of
        sum_j (e_j / 2) (b_j + b+_j), in the frame that turns with it, where f is the detuning from it.
    levels: of each transmon, 3 to 5 for most; 2 makes qubits, |1> the excited one, and has no anharmonicity.
    local: one coupling a transmon, and one for each of the L - 1 pairs.

    A Bose-Hubbard chain that attracts: a is negative. Typical: f of 4 to 6, a of -0.2 to -0.35, g of 0.005 to 0.05
    (Koch et al., Phys. Rev. A 76, 042319 (2007); Krantz et al., Appl. Phys. Rev. 6, 021318 (2019)). With f above all
    other scales the ground state is empty. What experiments prepare at a given number of photons, such as photons in
    a Mott insulator (Ma et al., Nature 566, 51 (2019)), are the highest states, ground states of -H: give f, a and g
    the opposite sign. As the attraction has no lower bound, states that lean on the highest level are of the cutoff.
    Left out: terms that create or annihilate pairs (rotating wave), levels beyond the Kerr term, couplings between
    transmons that are no neighbours, decay.
    Raises ValueError for fewer than two transmons or levels.
    """
    check_length("transmon_array", L, 2, periodic=False)
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 2:
        raise ValueError(f"transmon_array: levels is {levels!r}; a transmon has a whole number of them, 2 or more")
    pairs = windows(L, 2, periodic=False)
    numbers = [Number(j) for j in range(L)]
    parameters = {"frequency": parameter(numbers, local)}
    if levels == 2:
        sites = qubits(L)
        hops = [Sp(i) * Sm(j) + Sm(i) * Sp(j) for i, j in pairs]
        kicks: list[Operator] = [0.5 * X(j) for j in range(L)]
    else:
        sites = bosons(L, levels - 1)
        hops = [Create(i) * Destroy(j) + Destroy(i) * Create(j) for i, j in pairs]
        kicks = [0.5 * (Create(j) + Destroy(j)) for j in range(L)]
        parameters["anharmonicity"] = parameter([0.5 * (n * n - n) for n in numbers], local)
    parameters["coupling"] = parameter(hops, local)
    if drive:
        parameters["drive"] = parameter(kicks, local)
    return Hamiltonian(sites, parameters)
