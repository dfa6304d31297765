"""Trains one job as its job.json says; knows nothing of Kubernetes or of the operator."""
