"""A real Kubernetes that the tests start themselves, built from published Go modules."""
