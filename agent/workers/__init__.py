"""The loops that finish what a turn left for later."""
