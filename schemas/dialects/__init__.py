"""How events look to those who are told: a module per dialect, and its signing."""
