"""Two settle the same money at the same moment, on PostgreSQL: one of them does it, and the other is told that it is done."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pytest
from django.db import transaction

from companion import payment, waiting_money
from companion.exceptions import NotNow
from companion.models import PaymentOrder, Visit
from hospitals.audit import Actor
from hospitals.models import AuditEvent
from hospitals.services import outbox
from tests.companion.held_money import answered, command, given_up, paid_online
from tests.companion.test_payment_due import Gateway
from tests.companion.test_visits_meanwhile import on_its_own, until_it_waits
from tests.embedded import ON_SERVICES

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not ON_SERVICES, reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]
ONE, OTHER = Actor("commission", "one"), Actor("commission", "other")


@pytest.fixture()
def paid(visit: Visit, happens: Callable[..., None], settings: Any, monkeypatch: pytest.MonkeyPatch) -> PaymentOrder:
    settings.PAYMENT = "alipay"
    monkeypatch.setattr(payment, "backend", lambda name: Gateway())
    return paid_online(visit, happens)


def meanwhile(first: Callable[[], object], second: Callable[[], object]) -> str:
    """``second`` begins while ``first`` is done and not yet on record; the code with which it is refused."""
    process = SimpleQueue[int]()
    with ThreadPoolExecutor(1) as others:
        with transaction.atomic():
            first()
            waits = others.submit(on_its_own, second, process)
            until_it_waits(process.get(timeout=10))
        with pytest.raises(NotNow) as refusal:
            waits.result(timeout=10)
    return refusal.value.code


def test_two_who_settle_it_differently_do_it_once(paid: PaymentOrder) -> None:
    held = {"order_id": given_up(paid).id, "reason": "问过财务科"}
    code = meanwhile(
        lambda: waiting_money.give_back(**held, actor=ONE), lambda: waiting_money.arrived(**held, actor=OTHER)
    )
    paid.refresh_from_db()
    assert (code, paid.state, command(paid).state) == ("payment_acknowledged", "refund_due", "refused")
    assert AuditEvent.objects.get(action__startswith="payment.").actor == "one"


def test_what_is_sent_again_at_that_moment_does_not_go_back(paid: PaymentOrder) -> None:
    held, row = given_up(paid), command(paid)
    code = meanwhile(
        lambda: outbox.replay(row.hospital_id, row.id, actor=ONE),
        lambda: waiting_money.give_back(order_id=held.id, actor=OTHER, reason="问过财务科"),
    )
    paid.refresh_from_db()
    assert (code, paid.state, command(paid).state) == ("payment_acknowledged", "paid", "waiting")


def test_two_parts_at_once_are_one(paid: PaymentOrder) -> None:
    answered(paid, "accepted")
    part = {"order_id": paid.id, "amount_fen": 1500, "reason": "退验光费"}
    code = meanwhile(
        lambda: waiting_money.give_back_part(**part, actor=ONE),
        lambda: waiting_money.give_back_part(**part, actor=OTHER),
    )
    paid.refresh_from_db()
    assert (code, paid.state, paid.refund_fen) == ("not_waiting", "refund_due", 1500)
