"""What the two daemons agree on: records, names, bytes, order, liveness, settings, stopping."""
