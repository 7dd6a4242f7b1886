"""The contract between training and serving: what a model is, and how a clip becomes a score."""
