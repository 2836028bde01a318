"""``python -m keepfit``: the command line."""

from keepfit.cli import main

main()
