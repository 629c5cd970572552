"""What a page of hers says unasked, and that she has heard it."""

from companion import initiative
from companion.dialogue import Session
from companion.events import Event


def heard(session: Session) -> list[Event]:
    due = initiative.due(session)
    initiative.told(due)
    return due.events
