"""The laws of queueing and scaling: exact formulas and named approximations, numpy and scipy only.

Every function cites its source. Times are in seconds, rates in 1/s, loads in Erlangs (mean number of
busy servers), and nothing here knows a service, a history or a plan.
"""

from __future__ import annotations
