"""Safety, pure: red flags in what residents say, guards on what is answered, and attempts to turn the assistant.

``red_flags(text)`` comes before anything else and over any model; ``check_reply(text, sources)`` before anything is
said; ``injections(text)`` on every text that comes from outside. Nothing here asks the network or the database.
"""

from companion.safety.injections import injections
from companion.safety.red_flags import RedFlag, needs_own_care, prepared, red_flags, red_flags_in
from companion.safety.replies import Verdict, check_reply
from companion.safety.scope import Scope

__all__ = [
    "RedFlag",
    "Scope",
    "Verdict",
    "check_reply",
    "injections",
    "needs_own_care",
    "prepared",
    "red_flags",
    "red_flags_in",
]
