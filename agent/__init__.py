"""The service: turns, brains, the HTTP interface, the widget, replay and the command line."""
