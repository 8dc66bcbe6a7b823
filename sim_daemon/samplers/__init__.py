"""Samplers; one file each."""
