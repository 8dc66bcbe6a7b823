"""Numbers: arrays in, arrays out. Knows no run folder, no MPI, no YAML."""
