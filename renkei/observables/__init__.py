"""Observables of stored states: one file each; its name is what people ask for."""
