"""The visit's states and events: every transition and every open state has its words."""

import pytest

from companion import journey
from companion.journey import OwnEvent, VisitState
from companion.wording import NEXT, PROMPTS
from hospitals.connectors.base import (
    EventType,
)


@pytest.mark.parametrize("kind", [*EventType, *OwnEvent])
def test_every_event_has_a_transition_with_words(kind) -> None:
    transition = journey.TRANSITIONS[kind]
    assert transition.sources
    if transition.prompt != "queue_changed":  # a number that moves is shown, not said
        assert transition.prompt in PROMPTS


@pytest.mark.parametrize("state", sorted([*journey.BEFORE_CHECK_IN, *journey.AT_THE_DOOR, VisitState.IN_CONSULTATION]))
def test_every_open_state_says_what_to_do_next(state: VisitState) -> None:
    assert NEXT[state.value].say.startswith("下一步")
