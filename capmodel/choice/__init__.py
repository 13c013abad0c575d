"""Choices under risk: which of several sizes to order, by what each risks and costs.

``options_table(need, weights, options, ...)`` → :class:`Options`, one row per size with its
probability of saturation, its costs on either side and its regret; ``risk_options`` makes the sizes
that just keep given risks.
"""

from __future__ import annotations

from capmodel.choice.options import Option, Options, Unserved, options_table, risk_options
from capmodel.choice.regret import Losses, losses_of, newsvendor_quantile

__all__ = [
    "Losses",
    "Option",
    "Options",
    "Unserved",
    "losses_of",
    "newsvendor_quantile",
    "options_table",
    "risk_options",
]
