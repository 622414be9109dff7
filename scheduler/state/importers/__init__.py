"""Lists of other balancers, turned into state files."""
