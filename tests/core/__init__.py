"""The decision core, judged by a slow and simple oracle."""
