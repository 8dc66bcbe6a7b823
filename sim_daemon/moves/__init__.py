"""Steps that samplers share."""
