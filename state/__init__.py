"""Conversations and records that survive: SQL as the authority, Redis as the serving copy and the journal."""
