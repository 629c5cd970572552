"""The contract onto an HL7 v2 system: one connection for each command, closed after its acknowledgement."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address, ip_network

import httpcore

from hospitals.addresses import Policy, Resolve, addresses, system_resolve
from hospitals.connectors.base import Acknowledgement, Command
from hospitals.connectors.hl7v2 import messages, orders
from hospitals.connectors.hl7v2.mllp import FramingError, Unframer, frame
from hospitals.exceptions import AddressRefused, BadEvent, ConnectorRefused, ConnectorUnavailable, OutcomeUnknown

CONNECT_S, ANSWER_S = 5.0, 20.0


class Hl7v2Connector:
    """``hospitals.connectors.base.Connector`` onto one MLLP address; also knows what the hospital's own messages are like."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        application: str = "HIS",
        facility: str = "",
        charset: str = "UNICODE UTF-8",
        utc_offset_min: int = 480,
        peers: Sequence[str] = (),
        tls: bool = True,
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        networks: Sequence[str] = (),
        plain_hosts: Sequence[str] = (),
        answer_s: float = ANSWER_S,
        resolve: Resolve = system_resolve,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Options as docs/connectors.md tells them. Raises ``AddressRefused``, ``ValueError``, ``OSError`` for wrong ones."""
        self._policy = Policy.of(networks, plain_hosts)
        self._policy.check_host(host)
        if not tls and host.lower() not in self._policy.plain_hosts:
            raise AddressRefused(code="not_tls")
        self._host, self._port, self._answer_s, self._resolve, self._now = host, port, answer_s, resolve, now
        self._receiver = (application, facility)
        self.facility = facility
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._tls = ssl.create_default_context(cafile=ca_file or None)
            if cert_file:
                self._tls.load_cert_chain(cert_file, key_file or None)
        if charset not in messages.CHARSETS:
            raise ValueError("charset")
        self.codec = messages.CHARSETS[charset]
        self.zone = timezone(timedelta(minutes=utc_offset_min))
        self.peers = tuple(ip_network(peer) for peer in peers)

    def knows(self, peer: str) -> bool:
        """Whether this hospital's messages may come from that address."""
        address = ip_address(peer)
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address.version == network.version and address in network for network in self.peers)

    def execute(self, command: Command) -> Acknowledgement:
        """Raises ``ConnectorUnavailable``, ``OutcomeUnknown``, ``ConnectorRefused``."""
        try:
            text = orders.message(command, receiver=self._receiver, codec=self.codec, now=self._now())
        except BadEvent as error:
            raise ConnectorRefused("姓名等内容不能用医院的编码表示。", code="bad_encoding") from error
        reply = self._exchange(text)
        try:
            return orders.answer(messages.read(reply, default=self.codec), orders.control_id(command))
        except BadEvent as error:
            raise OutcomeUnknown(code="bad_acknowledgement") from error

    def probe(self) -> Iterator[tuple[str, str]]:
        """Whether the hospital's address answers, TLS included: (step, "" or the fault's code). Nothing is sent."""
        try:
            self._connect().close()
        except ConnectorUnavailable as error:
            yield "connect", error.code
        else:
            yield "connect", ""

    def _exchange(self, text: bytes) -> bytes:
        """One message out, one in. Before anything is sent it is ``ConnectorUnavailable``, afterwards ``OutcomeUnknown``."""
        connection = self._connect()
        ends = time.monotonic() + self._answer_s
        try:
            with connection:
                connection.settimeout(self._answer_s)
                connection.sendall(frame(text))
                unframer = Unframer()
                while True:
                    left = ends - time.monotonic()
                    if left <= 0:
                        raise OutcomeUnknown
                    connection.settimeout(left)
                    data = connection.recv(65536)
                    if not data:
                        raise OutcomeUnknown
                    for reply in unframer.feed(data):
                        return reply
        except (OSError, FramingError) as error:
            raise OutcomeUnknown from error

    def _connect(self) -> socket.socket:
        failure: Exception | None = None
        try:
            found = addresses(self._policy, self._host, self._port, self._resolve)
        except AddressRefused as error:
            raise ConnectorUnavailable(code=error.code) from error
        except httpcore.ConnectError as error:
            raise ConnectorUnavailable(code="no_connection") from error
        for address in found:
            try:
                plain = socket.create_connection((address, self._port), timeout=CONNECT_S)
            except OSError as error:
                failure = error
                continue
            try:
                return self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain
            except OSError as error:
                plain.close()
                failure = error
        raise ConnectorUnavailable(code="no_connection") from failure
