"""Rows of the companion: who she is (people), her visits (visit), what was said (conversation), and what
reviewers make of it (quality)."""

from companion.models.conversation import Conversation, HumanRequest, Incident, Turn
from companion.models.payment import PaymentOrder
from companion.models.people import ExternalIdentity, FamilyLink, Patient, Resident, ResidentSession
from companion.models.quality import TurnReview
from companion.models.visit import Reminder, Visit, VisitEvent, VisitPrompt

__all__ = [
    "Conversation",
    "ExternalIdentity",
    "FamilyLink",
    "HumanRequest",
    "Incident",
    "Patient",
    "PaymentOrder",
    "Reminder",
    "Resident",
    "ResidentSession",
    "Turn",
    "TurnReview",
    "Visit",
    "VisitEvent",
    "VisitPrompt",
]
