"""What deploy/ ships besides code: scripts, locks and examples for production."""
