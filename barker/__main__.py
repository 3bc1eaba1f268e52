"""`python -m barker` is the command `barker`."""

import sys

from barker.environment import use_virtual_environment

if __name__ == "__main__":
    use_virtual_environment("-m", "barker", *sys.argv[1:])
    from barker.cli import main

    main()
