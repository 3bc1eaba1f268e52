"""What the figures in the README come from: commands that anybody can run."""
