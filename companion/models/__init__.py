"""Rows of the companion: who she is (people), her visits (visit), what was said (conversation)."""

from companion.models.conversation import Conversation, HumanRequest, Incident, Turn
from companion.models.people import ExternalIdentity, FamilyLink, Patient, Resident, ResidentSession
from companion.models.visit import Reminder, Visit, VisitEvent, VisitPrompt

__all__ = [
    "Conversation",
    "ExternalIdentity",
    "FamilyLink",
    "HumanRequest",
    "Incident",
    "Patient",
    "Reminder",
    "Resident",
    "ResidentSession",
    "Turn",
    "Visit",
    "VisitEvent",
    "VisitPrompt",
]
