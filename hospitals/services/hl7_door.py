"""HL7 v2 messages on their way in: who a peer is, and what becomes of a message, acknowledged when it is in the database."""

from dataclasses import dataclass
from uuid import UUID

import structlog
from django.db import Error as DatabaseError

from hospitals import tenancy
from hospitals.connectors.base import HospitalEvent
from hospitals.connectors.hl7v2 import Hl7v2Connector, events, messages
from hospitals.exceptions import BadEvent, BadSignature, ConnectorUnavailable, HospitalsError, UnknownAppointment
from hospitals.models import Hospital, InboxEvent
from hospitals.services import connecting, inbox

log = structlog.get_logger(__name__)

# HL7 table 0357: why a message was not taken.
WRONG_CONTENT, UNSUPPORTED, NOT_PRODUCTION, UNKNOWN_KEY, USED_KEY, INTERNAL = "102", "201", "202", "204", "205", "207"
_CONTENT = (WRONG_CONTENT, UNKNOWN_KEY, USED_KEY)


@dataclass(frozen=True, slots=True)
class Peer:
    """A hospital that speaks from one of its addresses."""

    hospital_id: UUID
    code: str
    connector: Hl7v2Connector


def admit(address: str) -> tuple[Peer, ...]:
    """The hospitals whose lists have this address: none for a stranger, several where they share an interface engine."""
    found = []
    for row in Hospital.objects.filter(connector__in=connecting.names(Hl7v2Connector)):
        try:
            connector = connecting.connector(row)
        except ConnectorUnavailable as error:  # one hospital's wrong settings do not shut the door for the others
            log.error("mllp_misconfigured", hospital=row.code, code=error.code)
            continue
        if isinstance(connector, Hl7v2Connector) and connector.knows(address):
            found.append(Peer(row.id, row.code, connector))
    return tuple(found)


def take(peers: tuple[Peer, ...], raw: bytes) -> bytes:
    """The acknowledgement of one message. AA: it is kept, or it is about nobody of ours; then nothing of it is kept or logged.

    Of several hospitals at one address the sending facility (MSH-4) says which it is.
    """
    try:
        message = messages.read(raw, default=peers[0].connector.codec)
    except BadEvent as error:
        log.warning("hl7_unreadable", hospital=str(peers[0].hospital_id), code=error.code)
        return messages.acknowledge(None, "AR", error=WRONG_CONTENT, text=error.detail)
    facility = message.first("MSH").field(4)
    meant = peers if len(peers) == 1 else tuple(p for p in peers if facility and p.connector.facility == facility)
    if len(meant) != 1:
        return messages.acknowledge(message, "AR", error=UNKNOWN_KEY, text="MSH-4 没有指明是哪一家医院。")
    peer = meant[0]
    try:
        fault, text = _kept(peer, message)
    except (HospitalsError, DatabaseError) as failure:
        log.warning("hl7_not_kept", hospital=str(peer.hospital_id), code=getattr(failure, "code", "database"))
        return messages.acknowledge(message, "AR", error=INTERNAL, text="暂时不能处理,请稍后重发。")
    code = "AA" if not fault else "AE" if fault in _CONTENT else "AR"
    return messages.acknowledge(message, code, error=fault, text=text)


def _kept(peer: Peer, message: messages.Message) -> tuple[str, str]:
    """Keep its events; ("", "") or why not. Raises what asks for a repetition later."""
    try:
        inbox.hospital_of(peer.code)
    except BadSignature as error:  # suspended since the connection was made
        raise HospitalsError(code="hospital_shut") from error
    if not events.appointment_id(message):
        return "", ""
    if message.first("MSH").field(11) != "P":
        return NOT_PRODUCTION, "只接收生产消息(MSH-11 为 P)。"
    if not events.understood(message):
        return UNSUPPORTED, "不支持这种消息。"
    with tenancy.scope(peer.hospital_id):
        try:
            told = events.happened(message, hospital_id=peer.hospital_id, zone=peer.connector.zone)
            if _reused(told):
                log.error("hl7_control_id_reused", hospital=str(peer.hospital_id), event_type=message.kind)
                return USED_KEY, "MSH-10 已经用于另一条消息。"
            for event in told:
                inbox.store(event)
        except UnknownAppointment as error:
            return UNKNOWN_KEY, error.detail
        except BadEvent as error:
            log.warning("hl7_unusable", hospital=str(peer.hospital_id), event_type=message.kind, code=error.code)
            return WRONG_CONTENT, error.detail
    return "", ""


def _reused(told: tuple[HospitalEvent, ...]) -> bool:
    """Whether a message's number was another's: a counter that began anew would otherwise lose messages in silence."""
    known = InboxEvent.objects.filter(event_id__in=[event.event_id for event in told])
    before = {row.event_id: (row.type, row.appointment_key) for row in known}
    return any(before.get(e.event_id, (e.type, e.appointment_id)) != (e.type, e.appointment_id) for e in told)
