"""The state as a file: plans, files, secrets, importers."""
