"""`python -m barker` is the command `barker`."""

from barker.cli import main

main()
