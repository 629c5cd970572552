"""What a page of hers says unasked, and that she has heard it."""

from companion import dialogue
from companion.dialogue import Session
from companion.events import Event


def heard(session: Session) -> list[Event]:
    due = dialogue.due(session)
    dialogue.told(session, due)
    return due.events
