"""Rows of the companion: who she is (people), her visits (visit), what was said (conversation), what
reviewers make of it (quality), and what staff sign in with (staff)."""

from companion.models.conversation import Conversation, HumanRequest, Incident, Turn
from companion.models.payment import PaymentOrder
from companion.models.people import ExternalIdentity, FamilyLink, Invitation, Patient, Resident, ResidentSession
from companion.models.quality import TurnReview
from companion.models.staff import StaffFactor
from companion.models.visit import UNSAID, Reminder, Visit, VisitEvent, VisitPrompt

__all__ = [
    "UNSAID",
    "Conversation",
    "ExternalIdentity",
    "FamilyLink",
    "HumanRequest",
    "Incident",
    "Invitation",
    "Patient",
    "PaymentOrder",
    "Reminder",
    "Resident",
    "ResidentSession",
    "StaffFactor",
    "Turn",
    "TurnReview",
    "Visit",
    "VisitEvent",
    "VisitPrompt",
]
