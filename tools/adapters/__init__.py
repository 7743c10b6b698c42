"""Notification channels and foreign systems, one module each."""
