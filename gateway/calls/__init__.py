"""The calls of the BBB API: one module per call, or per family of calls that share their ways."""
