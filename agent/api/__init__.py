"""The public HTTP contract."""
