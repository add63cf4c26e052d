"""Going down a loss: update rules, where they may go, and the walk."""
