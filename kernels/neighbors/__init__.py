"""Neighbour lists: one contract, one file per backend."""
