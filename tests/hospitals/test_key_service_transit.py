"""A server of the transit engine that is slow, ill, changes its token or lies."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hospitals.exceptions import CiphertextInvalid, KeyServiceUnavailable
from hospitals.keys import transit
from hospitals.keys.transit import OPENS_AFTER, TransitKeyService
from tests.hospitals.transit_stub import TransitStub, raw, reset, says, silent_until, truncated

SECRET, CONTEXT = bytes(range(32)), b"resident|1|1"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stub() -> Iterator[TransitStub]:
    made = TransitStub()
    yield made
    made.close()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("s.first\n")
    return path


@pytest.fixture
def keys(stub: TransitStub, token: Path, slept: list[float], clock: Clock) -> TransitKeyService:
    return TransitKeyService(stub.url, str(token), sleep=slept.append, clock=clock)


def fails(keys: TransitKeyService, name: str = "", wrapped: bytes = b"") -> str:
    with pytest.raises(KeyServiceUnavailable) as caught:
        keys.unwrap(name, wrapped, context=CONTEXT) if name else keys.wrap(SECRET, context=CONTEXT)
    return caught.value.detail


@pytest.mark.parametrize("fault", [truncated, reset, says(500, {"errors": ["internal"]}), says(503, {}), says(429, {})])
def test_a_fault_that_passes_is_tried_again_after_a_moment(
    fault: Callable[[Any], None], stub: TransitStub, keys: TransitKeyService, slept: list[float]
) -> None:
    stub.faults.extend([fault, fault])
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    assert len(stub.asked) == 3 and len(slept) == 2 and 0 < slept[0] < slept[1] * 3
    assert keys.unwrap(name, wrapped, context=CONTEXT) == SECRET


@pytest.mark.parametrize("fault", [truncated, reset, says(500, {"errors": ["internal"]})])
def test_a_fault_that_stays_is_given_up(
    fault: Callable[[Any], None], stub: TransitStub, keys: TransitKeyService
) -> None:
    stub.faults.extend([fault] * 3)
    assert "密钥服务器" in fails(keys) and len(stub.asked) == 3


def test_a_server_that_says_nothing_is_not_waited_for(
    stub: TransitStub, keys: TransitKeyService, monkeypatch: pytest.MonkeyPatch, token: Path
) -> None:
    monkeypatch.setattr(transit, "READ_S", 0.05)
    keys = TransitKeyService(stub.url, str(token), sleep=lambda _s: None)
    done = threading.Event()
    stub.faults.extend([silent_until(done)] * 3)
    try:
        assert "没有应答" in fails(keys)
    finally:
        done.set()


def test_a_refused_token_is_read_anew_once(stub: TransitStub, keys: TransitKeyService, token: Path) -> None:
    keys.wrap(SECRET, context=CONTEXT)
    stub.tokens = {"s.second"}
    assert "令牌" in fails(keys) and len(stub.asked) == 2  # nothing new in the file: it is not asked again
    token.write_text("s.second\n")
    keys.wrap(SECRET, context=CONTEXT)
    keys.wrap(SECRET, context=CONTEXT)
    assert len(stub.asked) == 5


@pytest.mark.parametrize("text", ["", "two words", "s.\n\nx-other: 1", "令牌", "x" * 9000])
def test_a_token_file_that_holds_none_is_said(text: str, keys: TransitKeyService, token: Path) -> None:
    token.write_text(text, encoding="utf-8")
    assert "令牌文件" in fails(keys)
    token.unlink()
    assert "令牌文件" in fails(keys)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'{"data": null}',
        b'{"data": {}}',
        b'{"data": {"ciphertext": 7}}',
        b'{"data": {"ciphertext": "vault:v0:AAAA"}}',
        b'{"data": {"ciphertext": "vault:v1:AAAA\\n"}}',
        b'{"data": {"ciphertext": "vault:v1:AAB="}}',
        b'{"data": {"ciphertext": "plain"}}',
        b"[" * 50_000,
    ],
)
def test_an_answer_that_is_none_is_not_taken_for_a_wrapped_key(
    body: bytes, stub: TransitStub, keys: TransitKeyService
) -> None:
    stub.faults.append(raw(body))
    fails(keys)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"data": {"plaintext": "AAAA"}}', b'{"data": {"plaintext": "!!"}}', b'{"data": {"plaintext": 1}}']
)
def test_an_answer_that_is_none_is_not_taken_for_a_data_key(
    body: bytes, stub: TransitStub, keys: TransitKeyService
) -> None:
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    stub.faults.append(raw(body))
    fails(keys, name, wrapped)


def test_an_endless_answer_is_cut(stub: TransitStub, keys: TransitKeyService) -> None:
    stub.faults.append(raw(b" " * (transit.MAX_BYTES + 1)))
    fails(keys)


def test_only_what_is_surely_altered_is_final(stub: TransitStub, keys: TransitKeyService) -> None:
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    stub.oldest = 2  # a policy, which may be changed back
    fails(keys, name, wrapped)
    stub.oldest = 1
    stub.keys[1] = bytes(32)
    with pytest.raises(CiphertextInvalid):
        keys.unwrap(name, wrapped, context=CONTEXT)
    stub.rotate()
    with pytest.raises(CiphertextInvalid):  # the row says one version, the ciphertext another
        keys.unwrap("transit:health-companion:v2", wrapped, context=CONTEXT)


def test_a_server_that_keeps_failing_rests_and_is_then_tried_by_one(
    stub: TransitStub, keys: TransitKeyService, clock: Clock
) -> None:
    stub.faults.extend([says(500, {})] * 100)
    for _n in range(OPENS_AFTER):
        fails(keys)
    asked = len(stub.asked)
    assert "连续" in fails(keys) and len(stub.asked) == asked
    stub.faults.clear()
    clock.now += transit.FIRST_REST_S
    keys.wrap(SECRET, context=CONTEXT)
    keys.wrap(SECRET, context=CONTEXT)
    assert len(stub.asked) == asked + 2


def test_one_wrapped_key_that_is_refused_shuts_nobody_out(stub: TransitStub, keys: TransitKeyService) -> None:
    name, wrapped = keys.wrap(SECRET, context=CONTEXT)
    stub.rotate()
    stub.oldest = 2
    for _n in range(OPENS_AFTER + 1):
        fails(keys, name, wrapped)
    keys.wrap(SECRET, context=CONTEXT)


def test_the_context_derives_the_key_where_it_is_asked_for(stub: TransitStub, token: Path) -> None:
    TransitKeyService(stub.url, str(token), derived=True).wrap(SECRET, context=CONTEXT)
    path, body = stub.asked[0]
    assert path == "/v1/transit/encrypt/health-companion" and body["context"] == body["associated_data"]


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://vault.example.org:8200"},
        {"url": "http://10.0.0.7:8200"},
        {"url": "https://user:pass@vault.example.org"},
        {"url": "https://169.254.169.254/"},
        {"url": "https://vault.example.org/?a=b"},
        {"url": "ftp://vault.example.org"},
        {"url": ""},
        {"url": "https://vault.example.org", "key": "../keys"},
        {"url": "https://vault.example.org", "mount": "transit/../sys"},
        {"url": "https://vault.example.org", "mount": "a//b"},
        {"url": "https://vault.example.org", "namespace": "a\r\nb"},
        {"url": "https://vault.example.org", "ca_file": "/nowhere.pem"},
    ],
)
def test_a_setting_that_leads_elsewhere_is_refused_at_start(options: dict[str, str]) -> None:
    with pytest.raises(KeyServiceUnavailable):
        TransitKeyService(token_file="/nowhere", **options)


@pytest.mark.parametrize(
    "url", ["https://10.0.0.7:8200", "https://vault.internal", "http://localhost:8200", "http://[::1]:8200"]
)
def test_the_operator_s_own_network_is_allowed(url: str) -> None:
    assert TransitKeyService(url, "/nowhere").knows("transit:health-companion:v1")
