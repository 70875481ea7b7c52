"""Telemetry for command-line tools that users do not notice and can trust.

Importing this takes well under a millisecond in addition to what Python loads anyway. Only a recorded run imports what
it needs, and only a separate process imports network modules.
"""

from abaculus.session import Session, Span
from abaculus.telemetry import Telemetry

__all__ = ["Session", "Span", "Telemetry"]
