"""What `barker chaos` does: a suite that is broken, and whether it has kept its promises."""
