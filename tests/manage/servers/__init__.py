"""Nodes: adding, changing, emptying, maintenance, secrets."""
