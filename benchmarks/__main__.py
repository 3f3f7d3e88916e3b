"""``python -m benchmarks``, or ``python benchmarks`` from anywhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if not __package__:  # started by its folder, which then is on the path instead of the one above it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
# NumPy's pool of threads would start with the import, and every measurement forks.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.command import main

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
