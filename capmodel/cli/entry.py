"""From arguments to an exit code: nothing that goes wrong ends in a traceback unless asked for.

========  ====================================================================
code      meaning
========  ====================================================================
0         done
1         a gate failed, whether or not inputs are stale
2         bad input or arguments: the user's move
3         inputs are stale, and no gate failed
70        a fault of capmodel: ours
130       interrupted
========  ====================================================================
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from capmodel.cli.commands import capmodel
from capmodel.cli.progress import note
from capmodel.errors import CapmodelError

__all__ = ["BAD_INPUT", "DONE", "INTERRUPTED", "OUR_FAULT", "main"]

DONE: Final = 0
BAD_INPUT: Final = 2
OUR_FAULT: Final = 70
"""EX_SOFTWARE of BSD's sysexits."""
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit.

    Parameters
    ----------
    args
        What stands after ``capmodel``; None: the process's own arguments.
    """
    sys.exit(_run(args))


def _run(args: Sequence[str] | None) -> int:
    asked: dict[str, bool] = {}
    try:
        code = capmodel.main(
            list(args) if args is not None else None,
            prog_name="capmodel",
            standalone_mode=False,
            obj=asked,
        )
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except click.Abort:
        note("interrupted")
        return INTERRUPTED
    except CapmodelError as error:
        _show_traceback(asked)
        _show_problems(error)
        return BAD_INPUT
    except Exception as error:  # noqa: BLE001  whatever is left is ours, and is said to be
        if not _show_traceback(asked):
            words = " ".join(f"{type(error).__name__}: {error}".split())
            note(
                f"a fault of ours, not of your input: {words}. "
                "The same command with --debug shows the traceback; please report it."
            )
        return OUR_FAULT
    return code if isinstance(code, int) else DONE


def _show_traceback(asked: dict[str, bool]) -> bool:
    if asked.get("debug"):
        click.echo(traceback.format_exc(), err=True, nl=False)
    return bool(asked.get("debug"))


def _show_problems(error: CapmodelError) -> None:
    """Print each problem as a paragraph of its own."""
    if len(error.problems) > 1:
        note(f"{len(error.problems)} problems\n")
    paragraphs = [*map(str, error.problems), *getattr(error, "__notes__", ())]
    click.echo("\n\n".join(paragraphs), err=True)
