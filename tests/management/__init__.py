"""The management API over HTTP: its framework, its description, and who may see what."""
