"""Labelled structures of any origin: reading, checking, splitting, and a potential's errors on them."""
