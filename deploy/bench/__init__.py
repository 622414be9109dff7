"""Benchmarks: each module measures one thing and returns figures that can be stored as JSON."""
