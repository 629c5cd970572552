#!/usr/bin/env python
"""Django's command-line door."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    from companion.command_line import run

    run(sys.argv)


if __name__ == "__main__":
    main()
