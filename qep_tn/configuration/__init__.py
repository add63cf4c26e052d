"""The TOML file of a run, checked, and what it describes."""
