"""The instance mix of a node pool by integer programming, with every pod really placed.

``choose_mix(shapes, need, candidates=..., zones=3, lose=1)`` → :class:`Mix`; ``verify(mix)`` takes
zones and nodes away and places all pods again. Weights are in any unit: money is not known here.
"""

from __future__ import annotations

from capmodel.capacity.mix.choose import choose_mix
from capmodel.capacity.mix.result import Mix
from capmodel.capacity.mix.spec import Candidate, MixRules
from capmodel.capacity.mix.verification import Loss, Verification, verify

__all__ = ["Candidate", "Loss", "Mix", "MixRules", "Verification", "choose_mix", "verify"]
