"""Training alone, without a simulator: the fit, what it shows on the way, and its result."""
