"""Events: the catalogue, the dialects, endpoints, and who is told."""
