"""`careline doctor`: what is set up, whether it works, and what to do about what does not."""
