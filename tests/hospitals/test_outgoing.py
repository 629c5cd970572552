"""No address that a hospital gives leads inside, in whatever notation; nothing outgoing waits or grows without end."""

import gzip
import random
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore
import pytest

from hospitals import outgoing
from hospitals.addresses import Policy, addresses
from hospitals.exceptions import AddressRefused, ConnectorUnavailable, OutcomeUnknown
from hospitals.outgoing import Budget, Outgoing
from tests.hospitals.certificates import certificate

STRICT = Policy.of()
LOCAL = Policy.of(networks=["127.0.0.0/8"], plain_hosts=["127.0.0.1", "hospital.example"])

REFUSED = """
http://hospital.example/
ftp://hospital.example/
file:///etc/passwd
gopher://hospital.example/
https:///nothing
https://
//hospital.example/
hospital.example
https://user@hospital.example/
https://user:word@hospital.example/
https://hospital.example@127.0.0.1/
https://127.0.0.1\\@hospital.example/
https://hospital.example:22/
https://hospital.example:0/
https://hospital.example:70000/
https://localhost/
https://LOCALHOST/
https://localhost./
https://hospital.example./
https://a.localhost/
https://printer.local/
https://metadata.google.internal/
https://router.lan/
https://box.home.arpa/
https://intranet/
https://127.0.0.1/
https://127.0.0.1./
https://127.1/
https://127.0.1/
https://2130706433/
https://0x7f000001/
https://0x7f.0.0.1/
https://0x7f.1/
https://0177.0.0.1/
https://017700000001/
https://127.0.0.01/
https://1.2.3.4.5/
https://hospital.example.0x1/
https://256.256.256.256/
https://0.0.0.0/
https://0/
https://10.0.0.1/
https://100.64.0.1/
https://100.100.100.200/
https://168.63.129.16/
https://169.254.169.254/latest/meta-data/
https://172.16.0.1/
https://172.31.255.255/
https://192.0.0.192/
https://192.0.2.1/
https://192.168.1.1/
https://198.18.0.1/
https://198.51.100.7/
https://203.0.113.7/
https://224.0.0.1/
https://239.255.255.250/
https://240.0.0.1/
https://255.255.255.255/
https://[::]/
https://[::1]/
https://[::127.0.0.1]/
https://[::ffff:127.0.0.1]/
https://[::ffff:7f00:1]/
https://[::ffff:8.8.8.8]/
https://[64:ff9b::7f00:1]/
https://[2002:7f00:1::]/
https://[2001:0:7f00:1::]/
https://[2001:db8::1]/
https://[fc00::1]/
https://[fd00:ec2::254]/
https://[fe80::1]/
https://[fe80::1%25eth0]/
https://[fec0::1]/
https://[ff02::1]/
https://[100::1]/
https://[5f00::1]/
https://①②⑦.⓪.⓪.①/
https://127。0。0。1/
https://loc\u00adalhost/
https://hos pital.example/
https://hospital.example/\r\nx:y
https://-hospital.example/
https://hospital..example/
""".strip("\n").split("\n")
REFUSED = [
    line.encode().decode("unicode_escape").encode("latin-1").decode() if "\\r" in line else line for line in REFUSED
]
ALLOWED = """
https://hospital.example/fhir
https://HOSPITAL.example:8443/fhir
https://fhir.hospital.example:443/a/b?c=d
https://8.8.8.8/
https://[2400:3200::1]/
https://xn--fiq228c.example/
""".split()


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_not_the_public_internet_over_tls_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        STRICT.check_url(url)


@pytest.mark.parametrize("url", ALLOWED)
def test_public_addresses_are_allowed(url: str) -> None:
    assert STRICT.check_url(url).scheme == "https"


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["10.1.2.3"], ["8.8.8.8", "169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], ["fe80::1%eth0"]],
)
def test_a_name_that_leads_inside_is_refused_even_if_one_of_several_answers_does(answers: list[str]) -> None:
    with pytest.raises(AddressRefused):
        addresses(STRICT, "hospital.example", 443, lambda _host, _port: answers)


def test_a_network_that_the_operator_named_is_open_and_its_metadata_service_is_not() -> None:
    policy = Policy.of(networks=["10.8.0.0/16", "169.254.0.0/16", "100.64.0.0/10"])
    policy.check_address(ip_address("10.8.4.4"))
    for closed in ("10.9.0.1", "169.254.169.254", "100.100.100.200"):
        with pytest.raises(AddressRefused):
            policy.check_address(ip_address(closed))
    with pytest.raises(AddressRefused) as refused:
        policy.check_url("http://10.8.4.4/")
    assert refused.value.code == "not_https"


def test_private_names_are_usual_inside_a_named_network_and_their_addresses_decide() -> None:
    policy = Policy.of(networks=["10.8.0.0/16"])
    for name in ("https://his.hospital.local/", "https://his/"):
        policy.check_url(name)
    assert addresses(policy, "his.hospital.local", 443, lambda _h, _p: ["10.8.0.9"]) == ["10.8.0.9"]
    with pytest.raises(AddressRefused):
        addresses(policy, "his.hospital.local", 443, lambda _h, _p: ["10.9.0.9"])
    for name in ("https://localhost/", "https://metadata.google.internal/", "https://metadata/"):
        with pytest.raises(AddressRefused):
            policy.check_url(name)


# --- a server that plays what goes wrong ----------------------------------------------------------------------


class Peer:
    """An HTTP server on a local port; ``answer`` is what it does next."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, str]] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda h: reply(h, 200, b"ok")
        self.stop = threading.Event()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                peer.seen.append((self.path, self.headers["host"]))
                peer.answer(self)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def caller(**options: Any) -> tuple[Outgoing, list[float]]:
    slept: list[float] = []
    return Outgoing(LOCAL, sleep=slept.append, jitter=random.Random(1), **options), slept


def test_an_answer_comes_back_whole_and_the_name_is_kept_in_the_request(peer: Peer) -> None:
    names: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        names.append(host)
        return ["127.0.0.1"]

    client, _slept = caller(resolve=resolve)
    answer = client.send("GET", peer.url("/x", host="hospital.example"))
    assert (answer.status, answer.body) == (200, b"ok")
    assert peer.seen == [("/x", f"hospital.example:{peer.port}")]
    assert names == ["hospital.example"]
    client.close()


def test_rebinding_gains_nothing_the_second_answer_of_the_name_server_is_checked_as_the_first(peer: Peer) -> None:
    turns = iter([["127.0.0.1"], ["192.168.0.1"]])
    peer.answer = lambda h: reply(h, 200, b"ok", connection="close")
    client, _slept = caller(resolve=lambda host, port: next(turns))
    assert client.send("GET", peer.url(host="hospital.example")).status == 200
    with pytest.raises(AddressRefused):
        client.send("GET", peer.url(host="hospital.example"))
    client.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(peer: Peer, status: int) -> None:
    peer.answer = lambda h: reply(h, status, location="http://169.254.169.254/")
    client, _slept = caller()
    with pytest.raises(AddressRefused) as refused:
        client.send("GET", peer.url())
    assert refused.value.code == "redirect_refused"
    assert len(peer.seen) == 1
    client.close()


def test_a_proxy_of_the_environment_is_not_used(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    client, _slept = caller()
    assert client.send("GET", peer.url()).status == 200
    client.close()


def test_an_answer_has_a_largest_size(peer: Peer) -> None:
    peer.answer = lambda h: reply(h, 200, b"x" * 5000)
    client, slept = caller(max_bytes=4999)
    with pytest.raises(ConnectorUnavailable) as error:
        client.send("GET", peer.url(), repeatable=True)
    assert error.value.code == "answer_too_large" and not slept
    client.close()


def test_a_compressed_answer_nobody_asked_for_is_not_unpacked(peer: Peer) -> None:
    peer.answer = lambda h: reply(h, 200, gzip.compress(b"0" * 1_000_000), content_encoding="gzip")
    client, _slept = caller()
    with pytest.raises(ConnectorUnavailable) as error:
        client.send("GET", peer.url())
    assert error.value.code == "encoded_answer"
    client.close()


def test_nothing_was_sent_is_told_from_nobody_knows(peer: Peer) -> None:
    client, _slept = caller(read_s=0.05)
    silent = threading.Event()
    peer.answer = lambda h: silent.wait(5) and None
    with pytest.raises(OutcomeUnknown) as unknown:
        client.send("POST", peer.url(), content=b"x")
    assert unknown.value.retryable
    silent.set()

    def closed(host: str, port: int) -> list[str]:
        raise httpcore.ConnectError("name not found")

    nameless, _slept = caller(resolve=closed)
    with pytest.raises(ConnectorUnavailable) as unsent:
        nameless.send("POST", peer.url(host="hospital.example"))
    assert not isinstance(unsent.value, OutcomeUnknown) and unsent.value.code == "no_connection"
    client.close()
    nameless.close()


def test_a_trickled_answer_ends_at_the_deadline(peer: Peer) -> None:
    """Each byte comes within the read time-out, the whole never would."""

    def trickle(h: BaseHTTPRequestHandler) -> None:
        h.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not peer.stop.wait(0.01):
            try:
                h.wfile.write(b"x")
            except OSError:
                return

    peer.answer = trickle
    client, _slept = caller(total_s=0.5)
    with pytest.raises(OutcomeUnknown):
        client.send("GET", peer.url(), repeatable=True)
    client.close()


def test_what_may_be_repeated_is_repeated_with_jitter_and_the_rest_never(peer: Peer) -> None:
    turns = iter([503, 502, 200])
    peer.answer = lambda h: reply(h, next(turns))
    client, slept = caller()
    assert client.send("GET", peer.url(), repeatable=True).status == 200
    assert len(slept) == 2 and 0.1 <= slept[0] <= 0.3 and 0.2 <= slept[1] <= 0.6
    peer.answer = lambda h: reply(h, 503)
    assert client.send("POST", peer.url()).status == 503
    assert len(slept) == 2
    client.close()


def test_the_hospital_s_own_waiting_time_is_kept_or_left_alone(peer: Peer) -> None:
    turns = iter([429, 200])
    peer.answer = lambda h: reply(h, next(turns), retry_after="2")
    client, slept = caller()
    assert client.send("GET", peer.url(), repeatable=True).status == 200 and slept == [2.0]
    peer.answer = lambda h: reply(h, 429, retry_after="3600")
    assert client.send("GET", peer.url(), repeatable=True).status == 429 and slept == [2.0]
    client.close()


def test_repetitions_have_a_budget_over_all_calls(peer: Peer) -> None:
    peer.answer = lambda h: reply(h, 503)
    client, slept = caller(budget=Budget(left=3.0))
    for _ in range(20):
        client.send("GET", peer.url(), repeatable=True)
    assert len(slept) == 5  # three at first, and an eighth of twenty
    client.close()


def test_an_inner_deadline_does_not_outlive_the_outer() -> None:
    with outgoing.deadline(10, clock=lambda: 100.0):
        with outgoing.deadline(60, clock=lambda: 100.0):
            assert outgoing.remaining(clock=lambda: 100.0) == 10
        with outgoing.deadline(2, clock=lambda: 100.0):
            assert outgoing.remaining(clock=lambda: 100.0) == 2
    assert outgoing.remaining() == float("inf")


def test_tls_is_checked_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    """The connection goes to the address that was checked; the certificate must be the name's."""
    shown = certificate(tmp_path, "hospital.example")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(shown)
    peer = Peer(tls)
    names: list[str] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(str(name))
    client, _slept = caller(resolve=lambda host, port: ["127.0.0.1"], verify=ssl.create_default_context(cafile=shown))
    assert client.send("GET", f"https://hospital.example:{peer.port}/").body == b"ok"
    assert names == ["hospital.example"]
    with pytest.raises(ConnectorUnavailable) as error:
        client.send("POST", f"https://other.example:{peer.port}/", content=b"secret")
    assert error.value.code == "no_connection" and len(peer.seen) == 1
    client.close()
    peer.close()


def test_a_server_without_tls_gets_nothing_of_a_request_that_wants_it(peer: Peer) -> None:
    client, _slept = caller(resolve=lambda host, port: ["127.0.0.1"])
    with pytest.raises(ConnectorUnavailable) as error:
        client.send("POST", f"https://hospital.example:{peer.port}/", content=b"secret")
    assert error.value.code == "no_connection" and peer.seen == []
    client.close()
