"""The decision core: pure functions over one pool held in memory."""
