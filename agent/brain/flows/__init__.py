"""Dialogues that need several turns, declared in YAML: read and checked at start, carried on as pure values."""
