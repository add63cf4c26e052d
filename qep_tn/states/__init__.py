"""What a solve returns: ground states, and what they are kept as."""
