"""`python -m chains_cli` is `chains`."""

import sys

from chains_cli.main import main

sys.exit(main())
