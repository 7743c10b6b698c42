"""The serving copy and, while SQL is down, the journal."""
