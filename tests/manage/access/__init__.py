"""Who may manage, and what was done: tokens and the audit log."""
