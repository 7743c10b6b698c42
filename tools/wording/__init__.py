"""What customers read about tools, one language a file."""
