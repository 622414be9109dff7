"""What nodes push, held against what polls see."""
