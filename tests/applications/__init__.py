"""Third-party applications of each kind, written as their authors write them: without our code."""
