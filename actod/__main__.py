"""Start with `python -m actod`."""

from __future__ import annotations

import sys

from actod.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
