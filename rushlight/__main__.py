"""`python -m rushlight` is the command `rushlight`."""

import sys

from rushlight.cli.main import main

sys.exit(main())
