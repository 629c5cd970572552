"""What the resident said, as wishes with slots: ``understand(text, Context(now))`` is the whole of it."""

from companion.understanding.people import Person
from companion.understanding.reading import normalise, understand
from companion.understanding.times import When
from companion.understanding.values import UNKNOWN, Context, Slots, Understanding, Wish

__all__ = ["UNKNOWN", "Context", "Person", "Slots", "Understanding", "When", "Wish", "normalise", "understand"]
