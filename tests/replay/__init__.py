"""Replays as their users run them: whole commands, killed and resumed, on processes and on a cluster."""
