"""What the commands for people at a terminal are made of."""
