"""The sandbox: a hospital's system that exists only here, and behaves as one.

It takes commands through the connector's contract and speaks to us only by signed events at the door that every hospital
uses. Its clock is driven by hand (``advance``, ``tick``) or by the beat (``tick_all``).
"""

from hospitals.connectors.sandbox.connector import SandboxConnector
from hospitals.connectors.sandbox.desk import STEPS, advance, call_next, stop_schedule, tick, tick_all
from hospitals.connectors.sandbox.sending import flush

__all__ = ["STEPS", "SandboxConnector", "advance", "call_next", "flush", "stop_schedule", "tick", "tick_all"]
