"""A hospital's HL7 v2 message, from the wire to the visit: kept once, answered truly, nothing of strangers kept."""

from collections.abc import Iterator
from typing import Any

import pytest

from hospitals import tenancy
from hospitals.connectors.hl7v2.messages import Message, read
from hospitals.management.commands.mllp import listener
from hospitals.models import Appointment, Hospital, InboxEvent
from hospitals.services import connecting, hl7_door, inbox
from tests.hospitals import mllp_peer
from tests.hospitals.appointments import an_appointment
from tests.hospitals.own_rows import change


@pytest.fixture
def configured(settings: Any) -> Iterator[None]:
    options = {"host": "127.0.0.1", "port": 1, "tls": False, "networks": ["127.0.0.0/8"], "plain_hosts": ["127.0.0.1"]}
    settings.HOSPITALS_CONNECTORS = {
        "one-hl7": {"BACKEND": "hl7v2", "OPTIONS": {**options, "peers": ["127.0.0.1/32", "10.1.0.0/16"]}},
        "two-hl7": {"BACKEND": "hl7v2", "OPTIONS": {**options, "facility": "H2", "peers": ["10.2.0.0/16", "10.9.9.9"]}},
        "three-hl7": {"BACKEND": "hl7v2", "OPTIONS": {**options, "facility": "H3", "peers": ["10.9.9.0/24"]}},
        "wrong": {"BACKEND": "hl7v2", "OPTIONS": {"host": "10.0.0.1", "port": 1}},
        "odd": {"BACKEND": "fhir", "OPTIONS": {"base": "typing error"}},
    }
    connecting.forget()
    yield
    connecting.forget()


def text(visit: object, kind: str = "SIU^S12", control: str = "M1", mode: str = "P", *lines: str) -> bytes:
    head = f"MSH|^~\\&|HIS|H1|COMPANION||20260302093000||{kind}|{control}|{mode}|2.5.1||||||UNICODE UTF-8"
    return "\r".join((head, f"SCH|{visit}^COMPANION", f"PV1|1|O||||||||||||||||||{visit}^^^COMPANION", *lines)).encode()


def kept(row: Appointment) -> list[tuple[str, str]]:
    with tenancy.scope(row.hospital_id):
        return [(e.event_id, e.state) for e in InboxEvent.objects.order_by("event_id")]


def taken(row: Appointment, raw: bytes, address: str = "127.0.0.1") -> Message:
    peers = hl7_door.admit(address)
    assert row.hospital_id in [peer.hospital_id for peer in peers]
    return read(hl7_door.take(peers, raw))


def said(answer: Message) -> tuple[str, str, str]:
    return answer.first("MSA").field(1), answer.first("MSA").field(2), answer.first("ERR").field(3)


@pytest.mark.django_db
@pytest.mark.usefixtures("configured")
class TestDoor:
    def test_a_message_is_kept_once_however_often_it_comes(self) -> None:
        row = an_appointment("one-hl7")
        assert said(taken(row, text(row.id))) == ("AA", "M1", "")
        assert said(taken(row, text(row.id))) == ("AA", "M1", "")
        assert kept(row) == [("hl7:M1", "received")]

    def test_a_visit_in_capitals_or_without_dashes_is_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        row, heard = an_appointment("one-hl7"), list[str]()
        monkeypatch.setattr("companion.visits.on_hospital_event", lambda event: heard.append(event.appointment_id))
        for spelt in (str(row.id).upper(), row.id.hex, row.id):
            assert said(taken(row, text(spelt))) == ("AA", "M1", "")
        assert inbox.sweep(after_s=0) == 1 and heard == [str(row.id)]
        assert kept(row) == [("hl7:M1", "done")]

    def test_who_speaks_is_told_by_the_address_alone(self) -> None:
        one, two = an_appointment("one-hl7"), an_appointment("two-hl7", "two")
        assert said(taken(two, text(two.id), "10.2.7.7"))[0] == "AA" and kept(one) == []
        assert not hl7_door.admit("10.3.0.1")
        assert [peer.hospital_id for peer in hl7_door.admit("::ffff:10.1.2.3")] == [one.hospital_id]

    def test_hospitals_behind_one_engine_are_told_apart_by_the_sending_facility(self) -> None:
        two, three = an_appointment("two-hl7", "two"), an_appointment("three-hl7", "three")
        raw = text(two.id)
        assert said(taken(two, raw.replace(b"|H1|", b"|H2|"), "10.9.9.9"))[0] == "AA" and len(kept(two)) == 1
        assert said(taken(two, raw.replace(b"|H1|", b"|H3|"), "10.9.9.9")) == ("AE", "M1", "204")
        assert kept(three) == [("hl7:M1", "dead")]
        for nobody in (b"|H1|", b"||"):
            assert said(taken(two, raw.replace(b"|H1|", nobody), "10.9.9.9")) == ("AR", "M1", "204")

    def test_a_number_used_for_another_message_is_said_and_not_lost_in_silence(self) -> None:
        row = an_appointment("one-hl7")
        assert said(taken(row, text(row.id)))[0] == "AA"
        assert said(taken(row, text(row.id, "SIU^S15"))) == ("AE", "M1", "205")
        assert len(kept(row)) == 1

    def test_one_hospital_s_wrong_settings_do_not_shut_the_door_for_the_others(self) -> None:
        an_appointment("wrong", "nine")
        row = an_appointment("one-hl7")
        assert said(taken(row, text(row.id)))[0] == "AA"

    def test_a_hospital_cannot_speak_of_another_s_visit(self) -> None:
        one, two = an_appointment("one-hl7"), an_appointment("two-hl7", "two")
        assert said(taken(two, text(one.id), "10.2.0.1")) == ("AE", "M1", "204")
        assert kept(one) == [] and kept(two) == [("hl7:M1", "dead")]

    def test_other_patients_are_acknowledged_and_nothing_of_them_is_kept_or_logged(
        self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        row = an_appointment("one-hl7")
        raw = "MSH|^~\\&|HIS|H1|||20260302||ADT^A01|M5|P|2.5.1\rPID|1||9||赵某某\rPV1|1|I".encode()
        assert said(taken(row, raw)) == ("AA", "M5", "") and kept(row) == []
        assert "赵某某" not in caplog.text + capsys.readouterr().out

    @pytest.mark.parametrize(
        ("kind", "mode", "answer"),
        [
            ("ADT^A04", "P", ("AE", "M1", "102")),  # no ticket in it
            ("ADT^A31", "P", ("AR", "M1", "201")),
            ("SIU^S12", "T", ("AR", "M1", "202")),
        ],
    )
    def test_why_a_message_is_not_taken_is_said_by_a_code(
        self, kind: str, mode: str, answer: tuple[str, str, str]
    ) -> None:
        row = an_appointment("one-hl7")
        assert said(taken(row, text(row.id, kind, "M1", mode))) == answer and kept(row) == []

    def test_what_cannot_be_read_is_answered_all_the_same(self) -> None:
        row = an_appointment("one-hl7")
        assert said(taken(row, b"nonsense")) == ("AR", "", "102")

    def test_a_suspended_hospital_keeps_its_messages_until_it_is_back(self) -> None:
        row = an_appointment("one-hl7")
        peers = hl7_door.admit("127.0.0.1")
        change(Hospital, row.hospital_id, state="suspended")
        assert said(read(hl7_door.take(peers, text(row.id)))) == ("AR", "M1", "207") and kept(row) == []

    def test_a_database_that_is_away_asks_for_the_message_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from django.db import OperationalError

        def away(_event: object) -> None:
            raise OperationalError

        row = an_appointment("one-hl7")
        monkeypatch.setattr("hospitals.services.inbox.store", away)
        assert said(taken(row, text(row.id))) == ("AR", "M1", "207")

    def test_wrong_settings_wait_for_the_operator_and_are_named(self) -> None:
        from hospitals.exceptions import ConnectorUnavailable

        for name in ("wrong", "odd"):
            with pytest.raises(ConnectorUnavailable) as error:
                connecting.connector(Hospital(connector=name))
            assert error.value.code == "connector_misconfigured"
        with pytest.raises(ConnectorUnavailable) as error:
            connecting.connector(Hospital(connector="nobody"))
        assert error.value.code == "connector_unknown"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("configured")
async def test_from_the_wire_to_the_inbox() -> None:
    from asgiref.sync import sync_to_async

    row = await sync_to_async(an_appointment)("one-hl7")
    door = listener()
    port = await door.start("127.0.0.1", 0)
    try:
        send = sync_to_async(mllp_peer.send, thread_sensitive=False)
        answers = await send(port, text(row.id), text(row.id, "SIU^S15", "M2"), text(row.id))
        assert [said(a) for a in answers] == [("AA", "M1", ""), ("AA", "M2", ""), ("AA", "M1", "")]
    finally:
        await door.stop()
    assert [key for key, _state in await sync_to_async(kept)(row)] == ["hl7:M1", "hl7:M2"]
