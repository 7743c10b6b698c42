"""`python -m agent` is `careline`."""

from agent.cli import main

main()
