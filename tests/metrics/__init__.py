"""Metrics, rules, dashboard, traces."""
