"""Many events in one signed message: each is taken, refused and handled as if it had come alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion import visits
from companion.models import Visit, VisitEvent, VisitPrompt
from hospitals import tenancy, vault
from hospitals.connectors import codec, push
from hospitals.connectors.base import EventType, QueuePosition
from hospitals.models import Appointment, DataKey, HospitalCredential, InboxEvent
from hospitals.services import batches, inbox
from tests.hospitals.clinics import a_clinic
from tests.hospitals.test_api_events import appointment, hospital, message
from tests.hospitals.test_inbox_order import NOON, OneVisit, position

DOOR = "/api/hospitals/v1/events/batch/"
E = EventType
pytestmark = pytest.mark.django_db


def send(client: Client, code: str, secret: str, body: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {**push.sign(secret, str(uuid4()), raw), "hospital-code": code}
    return client.post(DOOR, raw, content_type="application/json", headers=headers)


def queue(appointment_id: object, event_id: str, sequence: int = 1, ahead: int = 3) -> dict[str, Any]:
    where = QueuePosition("7", ahead, "1", "R1", "一诊室", "1楼", as_of=datetime(2026, 11, 24, 9, tzinfo=UTC))
    body = codec.encode(event_id, E.QUEUE_CHANGED, str(appointment_id), sequence, NOON, where)
    found: dict[str, Any] = json.loads(body)
    return found


def appointment_of(one: OneVisit) -> Appointment:
    return Appointment.objects.get(id=one.visit.id)


class TestTheDoor:
    def test_each_event_is_answered_by_itself(self, client: Client) -> None:
        row, secret = hospital()
        mine = appointment(row)
        events = [
            queue(mine.id, "e-1"),
            queue(uuid4(), "e-2"),
            queue("not-an-id", "e-3"),
            queue(mine.id, "e-4") | {"type": "no.such.type"},
            queue(mine.id, "e-1"),
            json.loads(message(mine.id, event_id="e-5")),
        ]
        answer = send(client, "river", secret, {"events": events})
        assert answer.status_code == 202, answer.content
        said = [(a["event_id"], a["status"], a["code"]) for a in answer.json()["answers"]]
        assert said == [
            ("e-1", "accepted", ""),
            ("e-2", "refused", "unknown_appointment"),
            ("e-3", "refused", "unknown_appointment"),
            ("", "refused", "bad_event"),
            ("e-1", "accepted", ""),
            ("e-5", "accepted", ""),
        ]
        assert answer.json()["answers"][3]["faults"] == [{"pointer": "/type", "code": "enum"}]
        with tenancy.scope(row.id):
            kept = dict(InboxEvent.objects.values_list("event_id", "state"))
        assert kept == {"e-1": "received", "e-2": "dead", "e-3": "dead", "e-5": "received"}

    def test_the_same_message_again_changes_nothing(self, client: Client) -> None:
        row, secret = hospital()
        mine = appointment(row)
        body = {"events": [queue(mine.id, f"e-{n}", n) for n in range(5)]}
        first, second = (send(client, "river", secret, body).json() for _ in range(2))
        assert first == second
        with tenancy.scope(row.id):
            assert InboxEvent.objects.count() == 5

    def test_an_appointment_s_id_in_another_spelling_is_the_same(self, client: Client) -> None:
        clinic, secret = a_clinic(), push.new_secret()
        one = OneVisit(clinic, [])
        with tenancy.scope(clinic.hospital.id):
            HospitalCredential.objects.create(kind="events", secret=secret, hospital=clinic.hospital)
        events = [queue(one.visit.id.hex, "e-1"), queue(str(one.visit.id).upper(), "e-2", 2, ahead=1)]
        for again in ([], [queue(one.visit.id, "e-1")]):
            answer = send(client, clinic.hospital.code, secret, {"events": events + again})
            assert {a["status"] for a in answer.json()["answers"]} == {"accepted"}
        assert batches.handle(clinic.hospital.id, one.waiting()) == 2
        now = visits.journey_of(one.visit)
        assert now.queue is not None and now.queue.ahead == 1

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"{", "bad_json"),
            *(
                (body, "bad_batch")
                for body in ({"events": []}, {"events": {}}, [], {"events": [1], "more": 1}, {"events": [{}] * 201})
            ),
        ],
    )
    def test_what_is_no_batch_is_refused_as_a_whole(self, client: Client, body: Any, code: str) -> None:
        _row, secret = hospital()
        answer = send(client, "river", secret, body)
        assert (answer.status_code, answer.json()["code"]) == (400, code)

    def test_who_signs_wrongly_is_refused_and_nothing_is_kept(self, client: Client) -> None:
        row, _secret = hospital()
        answer = send(client, "river", push.new_secret(), {"events": [queue(appointment(row).id, "e-1")]})
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
        with tenancy.scope(row.id):
            assert not InboxEvent.objects.exists()

    def test_another_hospital_s_appointment_is_as_good_as_none(self, client: Client) -> None:
        other, _ = hospital("other")
        row, secret = hospital()
        answer = send(client, "river", secret, {"events": [queue(appointment(other).id, "e-1")]})
        assert answer.json()["answers"][0]["code"] == "unknown_appointment"


# --- handled together, as if they had come alone -------------------------------------------------------------

MOVES = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(1, 9), st.sampled_from([E.QUEUE_CHANGED, E.QUEUE_CHANGED, E.ENCOUNTER_CALLED])
    ),
    min_size=1,
    max_size=8,
)


def stands(visit: Visit) -> Any:
    """What a visit has come to, less what differs from run to run."""
    visit = Visit.objects.get(id=visit.id)
    events = VisitEvent.objects.filter(visit=visit).order_by("key").values_list("key", "sequence")
    worth_saying = VisitPrompt.objects.filter(visit=visit, obsolete=False).order_by("key").values_list("key", flat=True)
    now = visits.journey_of(visit)
    return (
        visit.state,
        visit.where,
        visit.queue_as_of,
        now.state,
        now.queue,
        list(events),
        list(worth_saying),
    )


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moves=MOVES)
def test_together_they_come_to_what_they_come_to_one_by_one(moves: list[tuple[int, int, EventType]]) -> None:
    came: list[Any] = []
    for together in (True, False):
        clinic = a_clinic(f"lake{uuid4().hex[:6]}")
        two = [OneVisit(clinic, []) for _ in range(2)]
        with tenancy.scope(clinic.hospital.id):
            ids = []
            for number, (who, ahead, kind) in enumerate(moves):
                about = (str(two[who].visit.id), number, NOON, position(ahead))
                event = codec.encode(f"m-{number}", kind, *about)
                row = inbox.row_of(codec.parse_event(clinic.hospital.id, event), appointment_of(two[who]))
                row.save()
                ids.append(row.id)
        if together:
            assert batches.handle(clinic.hospital.id, ids) == len(ids)
            assert batches.handle(clinic.hospital.id, ids) == 0
        else:
            assert all(inbox.handle(clinic.hospital.id, row_id) for row_id in ids)
        with tenancy.scope(clinic.hospital.id):
            assert set(InboxEvent.objects.filter(id__in=ids).values_list("state", flat=True)) == {"done"}
        came.append([stands(one.visit) for one in two])
    for together, alone in zip(*came, strict=True):
        assert together == alone


def test_one_that_is_at_fault_holds_up_no_other() -> None:
    clinic = a_clinic()
    good, gone = OneVisit(clinic, []), OneVisit(clinic, [])
    Visit.objects.filter(id=gone.visit.id).delete()  # its appointment stands, its visit does not
    with tenancy.scope(clinic.hospital.id):
        rows = []
        for number, one in enumerate((gone, good)):
            body = codec.encode(f"m-{number}", E.QUEUE_CHANGED, str(one.visit.id), 1, NOON, position(2))
            rows.append(inbox.row_of(codec.parse_event(clinic.hospital.id, body), appointment_of(one)))
            rows[-1].save()
    assert batches.handle(clinic.hospital.id, [row.id for row in rows]) == 2
    with tenancy.scope(clinic.hospital.id):
        assert [InboxEvent.objects.get(id=row.id).state for row in rows] == ["dead", "done"]
    assert visits.journey_of(good.visit).queue is not None


def test_a_batch_costs_a_handful_of_statements(django_assert_max_num_queries: Any) -> None:
    clinic = a_clinic()
    many = [OneVisit(clinic, []) for _ in range(12)]
    with tenancy.scope(clinic.hospital.id):
        rows = []
        for number, one in enumerate(many):
            body = codec.encode(f"m-{number}", E.QUEUE_CHANGED, str(one.visit.id), 1, NOON, position(5))
            rows.append(inbox.row_of(codec.parse_event(clinic.hospital.id, body), appointment_of(one)))
            rows[-1].save()
    DataKey.objects.update(created_at=NOON - timedelta(days=1))  # younger ones are asked for each time
    vault.forget()
    with django_assert_max_num_queries(17 + len(many)):  # what a visit comes to is a statement of its own
        assert batches.handle(clinic.hospital.id, [row.id for row in rows]) == 12
