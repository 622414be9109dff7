"""The endpoints for providers and their customers below `/b3lb`."""
