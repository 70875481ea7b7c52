"""Telemetry for command-line tools that their users never feel and can trust.

Importing this takes well under a millisecond on top of what Python loads anyway, and it stays so: what only a run that
is recorded needs is imported by that run, and what speaks with the network by a process of its own.
"""

from abaculus.session import Session, Span
from abaculus.telemetry import Telemetry

__all__ = ["Session", "Span", "Telemetry"]
