"""Policy gradients, actor-critic and searches, by where the settings are from."""

from __future__ import annotations

from studies.base import Study
from studies.policy_gradient import cleanrl, gymnax_blines, reinforce, searches, tianshou, zoos

STUDIES: tuple[Study, ...] = (
    *reinforce.STUDIES,
    *zoos.STUDIES,
    *cleanrl.STUDIES,
    *gymnax_blines.STUDIES,
    *searches.STUDIES,
    *tianshou.STUDIES,
)
