"""All skills, found by the intent, the tapped action or the open question they declare."""

from types import ModuleType

from companion.skills import (
    appointments,
    book,
    check_in,
    emergency,
    examination,
    family,
    follow_up,
    health,
    human,
    looked,
    manner,
    medicine,
    news,
    next_step,
    pay,
    people,
    queue,
    reminding,
    report,
    route,
    signed_in,
    talk,
    triage,
    waiting_list,
)
from companion.skills.scene import Contract

ALL: tuple[ModuleType, ...] = (
    emergency,
    triage,
    book,
    appointments,
    check_in,
    queue,
    route,
    pay,
    examination,
    report,
    medicine,
    follow_up,
    reminding,
    next_step,
    health,
    people,
    family,
    looked,
    signed_in,
    waiting_list,
    news,
    human,
    manner,
    talk,
)


def contract(skill: ModuleType) -> Contract:
    return skill.CONTRACT


BY_INTENT = {intent: skill for skill in ALL for intent in contract(skill).intents}
BY_ACTION = {action: skill for skill in ALL for action in contract(skill).actions}
BY_QUESTION = {name: skill for skill in ALL for name in contract(skill).expects}
