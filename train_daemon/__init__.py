"""The trainer: policy of learning and publishing."""
