"""The garbage collector's patience."""

from __future__ import annotations

import gc

YOUNG = 50_000  # containers made before it looks through the young ones; Python's own 700
MIDDLE, OLD = 20, 10


def relax() -> None:
    """Let it look less often: offers of 10,000 agents are half a million containers without a cycle among them, and looking
    through them again and again took two thirds of the time of decoding (`python -m benchmarks flood`).
    """
    gc.set_threshold(YOUNG, MIDDLE, OLD)
