"""A run's folder, its files, and work in several places."""
