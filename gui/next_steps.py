"""What the window adds to an error: the action that takes the next step.

The command line has flags instead: core/cli_flags.py.
"""

from __future__ import annotations

from core.marking import tr

IN_WINDOW = {"no room": tr("Here: Free the models' memory, in the menu Tools.")}
"""By :attr:`core.errors.UserError.topic`."""
