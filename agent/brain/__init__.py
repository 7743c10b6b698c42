"""Deciding what to say and which tool to use."""
