"""Recorded conversations, run again."""
