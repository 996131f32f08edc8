"""`python -m unlabeled` is the command line."""

import sys

from unlabeled.cli import main

sys.exit(main())
