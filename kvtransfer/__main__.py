"""``python -m kvtransfer``: the command ``kvtransfer`` of the interpreter that runs it."""

import sys

from kvtransfer.cli import main

sys.exit(main())
