"""Metrics of the product itself."""
