"""Learners; one file each."""
