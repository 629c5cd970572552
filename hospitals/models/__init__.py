"""All rows of the hospitals' side, by what they are about."""

from hospitals.connectors.sandbox.models import SandboxClinic, SandboxMessage, SandboxSystem, SandboxVisit
from hospitals.models.audit import AuditChain, AuditEvent
from hospitals.models.directory import (
    Building,
    Campus,
    Department,
    Floor,
    Hospital,
    IndoorMap,
    Notice,
    OnboardingStep,
    Practitioner,
    Schedule,
    Slot,
)
from hospitals.models.keys import DataKey
from hospitals.models.onboarding import (
    AccessToken,
    ApiClient,
    ApiSecret,
    ConformanceRun,
    HospitalApplication,
    IdempotentAnswer,
    ImportRun,
)
from hospitals.models.retention import RetentionMark
from hospitals.models.tenant import (
    Appointment,
    Circuit,
    HospitalCredential,
    InboxEvent,
    OutboxCommand,
    SlotHold,
    WaitingEntry,
)
from hospitals.models.webhooks import Delivery, WebhookEndpoint

__all__ = [
    "AccessToken",
    "ApiClient",
    "ApiSecret",
    "Appointment",
    "AuditChain",
    "AuditEvent",
    "Building",
    "Campus",
    "Circuit",
    "ConformanceRun",
    "DataKey",
    "Delivery",
    "Department",
    "Floor",
    "Hospital",
    "HospitalApplication",
    "HospitalCredential",
    "IdempotentAnswer",
    "ImportRun",
    "InboxEvent",
    "IndoorMap",
    "Notice",
    "OnboardingStep",
    "OutboxCommand",
    "Practitioner",
    "RetentionMark",
    "SandboxClinic",
    "SandboxMessage",
    "SandboxSystem",
    "SandboxVisit",
    "Schedule",
    "Slot",
    "SlotHold",
    "WaitingEntry",
    "WebhookEndpoint",
]
