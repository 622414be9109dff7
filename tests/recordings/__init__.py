"""Recordings: from what nodes list to what callers see and change."""
