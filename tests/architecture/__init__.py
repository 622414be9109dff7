"""Rules of the source tree that no linter knows."""
