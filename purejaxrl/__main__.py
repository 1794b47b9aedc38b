"""``python -m purejaxrl runs``: see :mod:`purejaxrl.runs`."""

import sys

from purejaxrl import runs

if __name__ == "__main__":
    sys.exit(runs.main())
