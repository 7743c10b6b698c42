"""What takes long or needs what no other test does; each file is a command of its own and no part of the suite."""
