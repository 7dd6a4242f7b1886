"""HTTP in front of the model store, and nothing else."""
