"""What is solved: sites, operators, Hamiltonians and their matrix product operators."""
