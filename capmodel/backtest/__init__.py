"""Backtests: what each demand model would have said, and how far off it would have been.

>>> from capmodel.backtest import backtest, event_origin

Cuts stand in :mod:`.origins`, what is judged in :mod:`.tasks`, the measures in :mod:`.judge`, the
frames in :mod:`.result`. A whole plan is judged in :mod:`.replay`: the past season once more;
many seasons of one series in :mod:`.decision`.
"""

from __future__ import annotations

from capmodel.backtest.decision import DecisionBacktest, SeasonDecision, decide
from capmodel.backtest.origins import SEASON, Origin, event_origin, rolling_origins
from capmodel.backtest.result import REFERENCE, BacktestResult
from capmodel.backtest.run import Progress, backtest

__all__ = [
    "REFERENCE",
    "SEASON",
    "BacktestResult",
    "DecisionBacktest",
    "Origin",
    "Progress",
    "SeasonDecision",
    "backtest",
    "decide",
    "event_origin",
    "rolling_origins",
]
