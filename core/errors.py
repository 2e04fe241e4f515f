"""The two kinds of failure: what a person can act on, and bugs."""

from __future__ import annotations


class UserError(Exception):
    """Something a person can put right.

    ``message`` says what happened, ``next_step`` what to do about it; both are whole sentences shown as they are, also
    by the app. ``topic``: what the command line has more to say about (``core.cli_flags``).
    Anything that is not a ``UserError`` is a bug and is reported with its traceback.
    """

    def __init__(self, message: str, next_step: str = "", *, topic: str = "") -> None:
        super().__init__(message, next_step)
        self.message = message
        self.next_step = next_step
        self.topic = topic

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()
