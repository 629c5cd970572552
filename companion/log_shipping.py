"""Log lines to the operator's collector beside stderr: RFC 5424 syslog over TLS (RFC 5425), a process and a connection each.

A line is formatted where it is logged and put into a bounded queue; a thread of its own sends. Nobody who logs ever waits:
where the queue is full the line is dropped here and counted (it still stands on stderr), and the count is told as
``logs_dropped`` once the collector is back. Syslog acknowledges nothing: what was under way when a connection broke may be
lost, and the line in hand is sent again.
"""

import atexit
import logging
import os
import queue
import random
import socket
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from urllib.parse import urlsplit

import structlog
from django.core.exceptions import ImproperlyConfigured

log = structlog.get_logger(__name__)

WAITING = 10_000  # lines; of the usual length some 4 MB
NETWORK_S = 5.0  # to connect, and for one line to be taken
RETRY_FIRST_S, RETRY_LONGEST_S = 1.0, 60.0
LEAVING_S = 2.0  # what is still waiting when the process ends gets this long
LOCAL0 = 16
USUAL_PORT = 6514  # RFC 5425
# RFC 5424, 6.2.1
_SEVERITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))


@dataclass(frozen=True, slots=True)
class Collector:
    """Where lines go. ``ca_file``: who signed its certificate (empty: the system's); ``cert_file``, ``key_file``: ours."""

    host: str
    port: int
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 at least, its name checked. Raises ``OSError`` (so is ``ssl.SSLError``) for files that do not serve."""
        made = ssl.create_default_context(cafile=self.ca_file or None)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file:
            made.load_cert_chain(self.cert_file, self.key_file or None)
        return made

    def connect(self) -> ssl.SSLSocket:
        """Raises ``OSError``."""
        plain = socket.create_connection((self.host, self.port), timeout=NETWORK_S)
        try:
            return self.context().wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def collector_at(address: str, **files: str) -> Collector | None:
    """The one at ``tls://host:port``, or none without an address. Raises ``ImproperlyConfigured`` for any other."""
    if not address:
        return None
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or USUAL_PORT
    except ValueError:
        host = None
    if not host or parts.scheme != "tls" or parts.path not in ("", "/") or parts.query or parts.username:
        raise ImproperlyConfigured("COMPANION_LOG_COLLECTOR is not tls://host:port.")
    return Collector(host, port, **files)


def framed(line: str, level: int, at: float) -> bytes:
    """One message with its length before it. ``at``: seconds since 1970."""
    severity = next(number for least, number in _SEVERITIES if level >= least)
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = f"<{LOCAL0 * 8 + severity}>1 {when} {socket.gethostname() or '-'} companion {os.getpid()} - - "
    message = head.encode("ascii", "replace") + line.encode("utf-8", "replace")
    return str(len(message)).encode() + b" " + message


class Shipper:
    """The queue and its thread, begun with the first line of a process and anew in each that is forked."""

    def __init__(self, collector: Collector, *, waiting: int = WAITING) -> None:
        self.collector = collector
        self.dropped = 0  # since the last time it was told
        self._most = waiting
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)
        atexit.register(self.leave)

    def _begin_anew(self) -> None:
        """Nothing of a parent's thread, lock or connection is good in its child; what waited is the parent's to send."""
        self._queue: queue.Queue[bytes] = queue.Queue(self._most)
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        self._socket: ssl.SSLSocket | None = None
        self._away = False
        self.dropped = 0

    def put(self, message: bytes) -> None:
        """Never waits."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            with self._lock:
                self.dropped += 1
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="log-shipping", daemon=True)
                    self._thread.start()

    def leave(self) -> None:
        """Send what waits, as far as it goes in ``LEAVING_S``."""
        self._leaving.set()
        if self._thread is not None:
            self._thread.join(LEAVING_S)

    def _run(self) -> None:
        retry_s = RETRY_FIRST_S
        message: bytes | None = None
        while True:
            try:
                message = message or self._queue.get(timeout=0.2)
            except queue.Empty:
                if self._leaving.is_set():
                    return
                continue
            try:
                self._send(message)
            except OSError as error:
                self._hang_up()
                if self._leaving.is_set():
                    return
                if not self._away:
                    self._away = True
                    log.warning("log_collector_away", reason=type(error).__name__, retry_in_s=retry_s)
                self._leaving.wait(retry_s * random.uniform(0.5, 1.0))  # many processes do not come back in one moment
                retry_s = min(retry_s * 2, RETRY_LONGEST_S)
                continue
            message, retry_s = None, RETRY_FIRST_S
            if self._away:
                self._away = False
                log.warning("log_collector_back")
            if self.dropped and self._queue.qsize() < self._most // 2:
                with self._lock:
                    count, self.dropped = self.dropped, 0
                log.warning("logs_dropped", count=count)

    def _send(self, message: bytes) -> None:
        if self._socket is not None and self._ended(self._socket):
            self._hang_up()
        if self._socket is None:
            self._socket = self.collector.connect()
        self._socket.sendall(message)

    @staticmethod
    def _ended(connection: ssl.SSLSocket) -> bool:
        """Whether the collector has closed it: the first line sent into such a connection would be lost without an error."""
        connection.settimeout(0.0)
        try:
            return connection.recv(1) == b""
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            connection.settimeout(NETWORK_S)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@cache
def shipper(collector: Collector) -> Shipper:
    """The process's one for this collector, whatever the number of handlers."""
    return Shipper(collector)


class CollectorHandler(logging.Handler):
    """Hands each formatted line to the process's shipper."""

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self.shipper = shipper(collector)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.shipper.put(framed(self.format(record), record.levelno, record.created))
        except Exception:  # noqa: BLE001  a line that cannot be formatted harms nobody's request
            self.handleError(record)
