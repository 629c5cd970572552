"""Sign-in with a super-app and payment: what its gateway says, and what comes to our door in its name."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils import timezone

from companion import identity, paying, payment
from companion.exceptions import CompanionError
from companion.identity.wechat import WechatIdentity
from companion.models import ExternalIdentity, PaymentOrder, Visit
from companion.payment.base import Order, Refund
from hospitals import tenancy
from hospitals.connectors.base import EventType, HospitalEvent
from hospitals.services import inbox
from tests.canaries import clear, told
from tests.canaries.places import Watch
from tests.canaries.visiting import a_visit
from tests.canaries.words import ALL, ID_NUMBER, NAME, PHONE
from tests.companion.test_identity import OURS, alipay, gateway, signed_answer
from tests.companion.test_payment import engine, signed

OPEN_IDS = (PHONE, NAME, ID_NUMBER)


def answers() -> Iterator[tuple[str, int, bytes]]:
    for open_id in OPEN_IDS:
        yield "wechat", 200, json.dumps({"openid": open_id, "session_key": ALL, "unionid": PHONE}).encode()
        yield "alipay", 200, signed_answer(json.dumps({"open_id": open_id, "user_id": PHONE, ALL: NAME}).encode())
    for status in (200, 500):
        for body in (
            ALL.encode(),
            json.dumps({"errcode": 1, "errmsg": ALL}).encode(),
            signed_answer(ALL.encode(), OURS),
        ):
            yield "wechat", status, body
            yield "alipay", status, body


def test_whatever_a_super_app_says_of_her(watch: Watch, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    queue, client = list(answers()), Client()
    settings.IDENTITY_ENABLED = ["wechat", "alipay", "development"]
    for number, (name, status, body) in enumerate(queue):
        with gateway(lambda _asked, told=(status, body): told) as url:
            made: Any = WechatIdentity(app_id="a", app_secret="s", gateway_url=url) if name == "wechat" else alipay(url)
            monkeypatch.setattr(identity, "backend", lambda _name, made=made: made)
            sent = {"provider": name, "code": f"{PHONE}-{number}"}
            answer = client.post("/api/session/", json.dumps(sent), content_type="application/json")
        assert answer.status_code == (201 if number < 2 * len(OPEN_IDS) else 401)
        watch.answers[f"sign-in {number}"] = answer.content
    assert ExternalIdentity.objects.count() == 2 * len(OPEN_IDS)
    assert watch.found() == {}


def test_whatever_is_told_of_a_payment(watch: Watch, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    row = a_visit("push")
    settings.PAYMENT = "alipay"
    made, client = engine(), Client()
    monkeypatch.setattr(payment, "backend", lambda _name: made)
    bill = told.data(EventType.INVOICE_ISSUED, "i1")
    with tenancy.scope(row.hospital_id):
        inbox.store(
            HospitalEvent("e1", EventType.INVOICE_ISSUED, row.hospital_id, str(row.id), 1, timezone.now(), bill)
        )
    watch.work()
    paying.begin(Visit.objects.get(), bill)
    order = PaymentOrder.objects.get()
    fits = {"app_id": "app-1", "out_trade_no": order.id.hex, "trade_no": "20261129", "total_amount": "0.01"}
    fits |= {"trade_status": "TRADE_SUCCESS", "buyer_logon_id": PHONE, "subject": ALL, "body": ALL, "buyer_name": NAME}
    bodies: list[bytes] = [signed(fits | {name: PHONE}) for name in fits]
    bodies += [signed(fits | {"out_trade_no": ALL}), urlencode(fits).encode(), ALL.encode(), ALL.encode("gbk")]
    bodies += [signed(fits), ALL.encode() * 2000]
    for number, body in enumerate(bodies):
        for where in ("alipay", "sandbox", PHONE, NAME):
            answer = client.post(
                f"/api/payment/{where}/?q={PHONE}", body, content_type="application/x-www-form-urlencoded"
            )
            assert answer.status_code < 500
            watch.answers[f"payment {where} {number}"] = answer.content
    order.refresh_from_db()
    assert order.state == "paid"
    with gateway(lambda _asked: (200, signed_answer(ALL.encode()))) as url, pytest.raises(CompanionError):
        async_to_sync(engine(url).refund)(Order(order.id.hex, ALL, 1, timezone.now()), Refund(ALL, 1, ALL))
    watch.work()
    assert watch.found(clear.IDS) == {}
