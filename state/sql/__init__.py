"""The record: everything Careline must not lose, on SQLite or PostgreSQL."""
