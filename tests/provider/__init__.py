"""Provider endpoints, assets, and what settings of a customer do to its callers."""
