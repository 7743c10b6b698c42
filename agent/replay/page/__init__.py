"""The report of a replay: one HTML file that needs no network."""

from agent.replay.page.writing import write_report

__all__ = ["write_report"]
