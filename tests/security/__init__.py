"""Vulnerabilities that this field has really had: each is a test that would have caught it."""
