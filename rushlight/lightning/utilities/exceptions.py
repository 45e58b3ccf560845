"""The exceptions of the Trainer."""

from __future__ import annotations


class MisconfigurationException(Exception):
    """The arguments, hooks or data given to the Trainer do not fit together; the message says which and what helps."""


class SIGTERMException(SystemExit):
    """The process was asked to end (SIGTERM) while training."""


class ExitTuning(Exception):
    """Ends a trial run of the tuner."""
