"""The command ``capmodel``: one verb per command, with the names of the methods behind them.

The package answers: what did the user ask for, what is printed where, and with which exit code? It
computes nothing. Only click is imported before a command runs, so ``capmodel --help`` is quick.
"""

from __future__ import annotations

from capmodel.cli.entry import main

__all__ = ["main"]
