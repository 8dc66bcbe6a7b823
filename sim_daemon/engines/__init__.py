"""First-principles engines; one file each."""
