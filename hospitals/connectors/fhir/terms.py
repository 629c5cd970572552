"""The names both sides agree on: identifier systems, task codes, and how FHIR's codes read in our contract."""

from hospitals.connectors.base import CommandKind

# Identifier systems of our own. An Appointment and an Invoice carry the visit's id under APPOINTMENT.
APPOINTMENT = "urn:health-companion:appointment"
COMMAND = "urn:health-companion:command"
RECEIPT = "urn:health-companion:receipt"
ORDER = "urn:health-companion:payment-order"
# An extension of a paid Invoice: how much, by whom, when.
PAYMENT = "urn:health-companion:payment"
# Task.code and the codes of Task.input.
TASK = "urn:health-companion:task"
QUEUE, EXAMINATION, FOLLOW_UP, VISIT = "queue", "examination", "follow-up", "visit"
# The resident identity number, by the object identifier that WS/T 500 (shared documents of electronic health records) uses.
ID_NUMBER = "urn:oid:2.16.156.10011.1.3"

# HL7 v3 ObservationInterpretation → the six that the contract knows. What the laboratory calls critical stays critical.
INTERPRETATIONS = {
    "N": "N",
    "H": "H",
    "HU": "HH",
    "HH": "HH",
    "L": "L",
    "LU": "LL",
    "LL": "LL",
    "A": "A",
    "AA": "HH",
    ">": "H",
    "<": "L",
    "POS": "A",
    "DET": "A",
    "R": "A",
    "NEG": "N",
    "ND": "N",
    "S": "N",
}

# Appointment.status that already says what a command asks for, and those in which it may still be done.
DONE = {
    CommandKind.CANCEL: frozenset({"cancelled", "entered-in-error"}),
    CommandKind.CHECK_IN: frozenset({"arrived", "checked-in", "fulfilled"}),
}
OPEN = {
    CommandKind.CANCEL: frozenset({"proposed", "pending", "booked", "waitlist"}),
    CommandKind.CHECK_IN: frozenset({"proposed", "pending", "booked", "noshow"}),
}
HELD = frozenset({"proposed", "pending", "booked", "arrived", "checked-in", "fulfilled", "waitlist"})
