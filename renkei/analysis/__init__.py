"""Averages, distributions and error bars of a run."""
