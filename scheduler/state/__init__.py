"""The state of an installation as a file."""
