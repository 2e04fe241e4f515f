"""How sure a share is that was counted from few answers."""

from __future__ import annotations

import math

_Z = 1.959963984540054  # 97.5 % of a normal distribution lie below it: 95 of 100 intervals hold the truth


def wilson(hits: int, answers: int, z: float = _Z) -> tuple[float, float]:
    """The score interval of the share ``hits / answers``, both ends in 0..1; (0, 1) without answers.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927) 209-212:
    with p = hits / n, the ends are (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n). Unlike p ± z·√(p(1-p)/n) it
    stays within 0..1 and holds what it promises also for ten or twenty answers (Brown, Cai & DasGupta 2001).
    """
    if not 0 <= hits <= answers:
        raise ValueError(f"{hits} of {answers} is no share")
    if answers == 0:
        return 0.0, 1.0
    share, extra = hits / answers, z * z / answers
    middle = share + extra / 2
    reach = z * math.sqrt(share * (1 - share) / answers + extra / (4 * answers))
    low, high = (middle - reach) / (1 + extra), (middle + reach) / (1 + extra)
    return (0.0 if hits == 0 else low), (1.0 if hits == answers else high)
