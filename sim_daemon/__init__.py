"""The simulator: policy of sampling and labelling."""
