"""What stands between a caller and a dependency that fails: guard, breaker, retry, degradation."""
