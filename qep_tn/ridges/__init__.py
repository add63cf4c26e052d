"""Phase boundaries as ridges of a response, in a plane of two parameters."""
