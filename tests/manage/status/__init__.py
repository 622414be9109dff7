"""The status as an operation."""
