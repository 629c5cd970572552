"""Written Mandarin as it is spoken: numbers, units and abbreviations said in full, polyphones read by context.

``read`` keeps the written text beside what is said, so that captions show what was written while sounds are timed by what is
heard. ``clauses`` cuts an answer for a fast start. Pure: no Django, no I/O beyond the package's own tables.
"""

from avatar.speech_text.clauses import clauses
from avatar.speech_text.reading import Foreign, Mark, Piece, Reading, Sound, Syllable, read, spoken

__all__ = ["Foreign", "Mark", "Piece", "Reading", "Sound", "Syllable", "clauses", "read", "spoken"]
