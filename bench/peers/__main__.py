"""``python -m bench.peers``: see ``compare``."""

import sys

from bench.peers.compare import main

sys.exit(main())
