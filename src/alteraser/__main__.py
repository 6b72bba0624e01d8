"""``python -m alteraser``: the command line, where no ``alteraser`` is on the path."""

import sys

from alteraser.cli import main

if __name__ == "__main__":
    sys.exit(main())
