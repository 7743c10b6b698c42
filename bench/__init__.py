"""Figures that the docs quote, each made by a command: `python -m bench.NAME`."""
