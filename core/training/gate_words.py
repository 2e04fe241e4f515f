"""What gates say to who knows nothing of models: two of them measure in units that no day needs. No torch."""

from __future__ import annotations

from core.marking import tr

_PLAIN = {
    "fluency": {
        "green": tr("Its wording is as natural as after stage 1."),
        "amber": tr("Its wording is becoming less natural."),
        "red": tr("Its wording is no longer natural."),
    },
    "drift": {
        "green": tr("It stays close to what it learned from you."),
        "amber": tr("It is moving away from what it learned from you."),
        "red": tr("It has moved too far from what it learned from you."),
    },
}


def in_plain_words(name: str, state: str, sentence: str) -> str:
    """A gate's own ``sentence``, or another one where that has figures without an everyday unit."""
    return _PLAIN.get(name, {}).get(state, sentence)
