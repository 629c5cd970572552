"""What the commission sees of hospitals: who joins, what got stuck between us and their systems, who looked at whom.

Rows of a single hospital are read here only as a named report (``tenancy.commission``), which is on the audit log before
anything is shown; names, cards and message bodies are never shown at all.
"""

from hospitals.admin import directory, joining, record, stuck, webhooks, words  # noqa: F401  each registers its pages
from hospitals.admin.base import BoundedPaginator, Colours, Province, ReadOnly, one_of
from hospitals.admin.confirming import asked_first

__all__ = ["BoundedPaginator", "Colours", "Province", "ReadOnly", "asked_first", "one_of", "words"]
