"""Potentials that both daemons can evaluate; the file name is the format."""
