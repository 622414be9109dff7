"""Journeys over HTTP: real processes, real clients, nothing looked at from inside."""
