"""``python -m fastconv``: see :mod:`fastconv._cli`."""

from fastconv._cli import main

if __name__ == "__main__":
    raise SystemExit(main())
