"""What was asked of a service, whether it was served or turned away.

This module answers: how many events reached a service per second, those that it shed among them?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capmodel.schema import SHED_OF

if TYPE_CHECKING:
    from capmodel.history.core import History

__all__ = ["offered_per_second"]


def offered_per_second(history: History, service: str) -> np.ndarray:
    """Return a service's demand with what it turned away, where that was counted.

    Parameters
    ----------
    history
        Of T steps.
    service
        Any with a demand.

    Returns
    -------
    numpy.ndarray
        Shape (T,) [1/s]; NaN where the demand was not measured. A step without a count of what was
        turned away counts none.

    Raises
    ------
    InputError
        When the service has no demand quantity.
    """
    quantity = history.demand_quantity(service)
    offered = np.array(history.series(service, quantity))
    if SHED_OF[quantity] in history.measured(service):
        offered += np.nan_to_num(history.series(service, SHED_OF[quantity]))
    return offered / (60.0 if quantity == "per_min" else 1.0)
