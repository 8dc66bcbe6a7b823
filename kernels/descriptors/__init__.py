"""Local descriptors and their products; one file per backend, the reference beside them."""
