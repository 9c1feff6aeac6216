"""`python -m carnyx`."""

import sys

from carnyx.cli import main

sys.exit(main())
