"""A suite of processes: what it is made of, and starting, breaking and ending them."""
