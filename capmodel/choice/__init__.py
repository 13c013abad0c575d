"""Choices under risk: which of several sizes to order, by what each risks and costs.

``options_table(need, weights, options, ...)`` → :class:`Options`, one row per size with its
probability of saturation, its costs on either side and its regret; ``risk_options`` makes the sizes
that just keep given risks. ``tripwires(asks, run_rate, weights)`` → :class:`Tripwires`: what to
order now, and above which run rate how much more on the day of the look.
"""

from __future__ import annotations

from capmodel.choice.conditional import Conditional, conditional_need
from capmodel.choice.options import Option, Options, Unserved, options_table, risk_options
from capmodel.choice.regret import Losses, losses_of, newsvendor_quantile
from capmodel.choice.tripwires import Ask, Late, Lattice, Tripwires, Wire, tripwires

__all__ = [
    "Ask",
    "Conditional",
    "Late",
    "Lattice",
    "Losses",
    "Option",
    "Options",
    "Tripwires",
    "Unserved",
    "Wire",
    "conditional_need",
    "losses_of",
    "newsvendor_quantile",
    "options_table",
    "risk_options",
    "tripwires",
]
