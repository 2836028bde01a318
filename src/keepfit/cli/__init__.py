"""The command line: ``keepfit COMMAND``. One module for each command, imported when it is asked for."""

from __future__ import annotations

from keepfit.cli.application import root

__all__ = ["main", "root"]


def main() -> None:
    """Run the command that the command line names, and leave with its exit code."""
    root.main(prog_name="keepfit")
