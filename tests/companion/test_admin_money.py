"""The commission's list of money that waits for a person, and its buttons: for who may, with a reason, once."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from companion import payment, roles
from companion.admin_money import DEEDS
from companion.models import PaymentOrder, Visit
from hospitals.models import AuditEvent
from tests.companion.held_money import answered, given_up, paid_online
from tests.companion.test_payment_due import Gateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]
LIST = "admin:companion_paymentorder_changelist"
SAID = {"reason": "财务科答复没有收到", "yuan": "20.00"}


@pytest.fixture()
def paid(visit: Visit, happens: Callable[..., None], settings: Any, monkeypatch: pytest.MonkeyPatch) -> PaymentOrder:
    settings.PAYMENT = "alipay"
    monkeypatch.setattr(payment, "backend", lambda name: Gateway())
    return paid_online(visit, happens)


@pytest.fixture()
def held(paid: PaymentOrder) -> PaymentOrder:
    return given_up(paid, attempts=7)


def signed_in(name: str, *groups: str) -> Client:
    officer = User.objects.create_user(name, is_staff=True)
    officer.groups.set(Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(officer)
    return client


@pytest.fixture()
def officer() -> Client:
    return signed_in("officer", roles.ADMINISTRATOR)


def address(order: PaymentOrder, deed: str) -> str:
    return reverse("admin:companion_settle", args=[order.pk, deed])


def do(client: Client, order: PaymentOrder, deed: str, **given: str) -> str:
    page = reverse("admin:companion_paymentorder_change", args=[order.pk])
    client.post(page, {"why": "处理退款"})
    return client.post(address(order, deed), {**SAID, **given}, follow=True).content.decode()


def offered(client: Client, order: PaymentOrder) -> set[str]:
    page = reverse("admin:companion_paymentorder_change", args=[order.pk])
    client.post(page, {"why": "处理退款"})
    shown = client.get(page).content.decode()
    return {name for name in DEEDS if address(order, name) in shown}


def state(order: PaymentOrder) -> str:
    order.refresh_from_db()
    return order.state


def test_the_list_says_what_how_much_since_when_where_and_what_was_tried(
    officer: Client, held: PaymentOrder, visit: Visit
) -> None:
    PaymentOrder.objects.create(visit=visit, invoice_id="i2", amount_fen=1, engine="alipay")
    figure = next(f for f in officer.get(reverse("admin:index")).context["figures"] if f.title == "等人处理的缴费")
    found = officer.get(figure.address)
    assert figure.count == 1 and [row.pk for row in found.context["cl"].result_list] == [held.pk]
    shown = found.content.decode()
    for words in ("20.00元", visit.hospital_name, "医院一直没有应答", "试了8次,从来没有送出,医院不会收到"):
        assert words in shown
    assert AuditEvent.objects.filter(action="report", entity_id="admin:paymentorder").exists()


def test_one_that_may_have_arrived_is_called_so(officer: Client, paid: PaymentOrder) -> None:
    given_up(paid, sent_at=paid.created_at)
    assert "医院可能收到过" in officer.get(address(paid, "refund")).content.decode()


def test_it_is_asked_for_confirmation_reason_and_sum_and_then_given_back(officer: Client, held: PaymentOrder) -> None:
    asked = officer.get(address(held, "refund")).content.decode()
    assert "只有医院明确说没有收到" in asked and state(held) == "paid", "asking does nothing"
    for wrong in ({"reason": ""}, {"reason": "退"}, {"yuan": "2.00"}, {"yuan": "NaN"}, {"yuan": ""}):
        do(officer, held, "refund", **wrong)
        assert state(held) == "paid"
    assert "退款,已记录" in do(officer, held, "refund")
    assert state(held) == "refund_due"
    seen = AuditEvent.objects.get(action="payment.refund")
    assert (seen.actor, seen.why) == ("officer", SAID["reason"])


def test_a_second_click_does_nothing_and_says_so(officer: Client, held: PaymentOrder) -> None:
    do(officer, held, "refund")
    assert "现在是「待退款」,不能退款" in do(officer, held, "refund")
    assert "不能已与医院核对" in do(officer, held, "arrived")
    assert AuditEvent.objects.filter(action__startswith="payment.").count() == 1


def test_two_who_click_at_once_do_it_once(officer: Client, held: PaymentOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other was quicker after this one was asked."""
    deed = DEEDS["refund"]
    other = signed_in("other", roles.ADMINISTRATOR)

    def first_the_other(**given: Any) -> None:
        monkeypatch.setitem(DEEDS, "refund", deed)
        do(other, held, "refund")
        deed.do(**given)

    monkeypatch.setitem(DEEDS, "refund", type(deed)(deed.label, first_the_other, deed.offered, deed.form))
    assert "医院已经有了答复" in do(officer, held, "refund")
    assert AuditEvent.objects.get(action="payment.refund").actor == "other" and state(held) == "refund_due"


@pytest.mark.parametrize("role", [roles.REVIEWER, roles.DESK, ""])
def test_another_role_is_offered_nothing_and_can_do_nothing(held: PaymentOrder, role: str) -> None:
    client = signed_in("clerk", role)
    User.objects.get(username="clerk").user_permissions.add(Permission.objects.get(codename="view_paymentorder"))
    assert offered(client, held) == set()
    for deed in DEEDS:
        assert "没有这项权限" in do(client, held, deed)
    assert state(held) == "paid" and held.waits_since


def test_nobody_does_it_without_the_second_factor(officer: Client, held: PaymentOrder, settings: Any) -> None:
    settings.MODE = "production"
    answer = officer.post(address(held, "refund"), SAID)
    assert answer.status_code == 302 and "second-factor" in answer["location"]
    assert state(held) == "paid"


def test_what_a_hospital_acknowledged_is_not_offered_to_be_given_back_whole(
    officer: Client, paid: PaymentOrder
) -> None:
    answered(paid, "accepted")
    assert offered(officer, paid) == {"refund-part"}
    for deed in ("refund", "arrived", "keep"):
        assert "不能" in do(officer, paid, deed)
    assert state(paid) == "paid"


def test_a_payment_on_its_way_to_the_hospital_is_offered_nothing(officer: Client, paid: PaymentOrder) -> None:
    assert offered(officer, paid) == set()


def test_the_hospital_has_it_after_all(officer: Client, held: PaymentOrder) -> None:
    assert offered(officer, held) == {"refund", "arrived"}
    assert "款项已入账,已记录" in do(officer, held, "arrived")
    assert offered(officer, held) == {"refund-part"}


@pytest.mark.parametrize("sum_typed", ["20.01", "0", "-5", "五元", "5.001", "1E+9"])
def test_a_part_is_a_sum_within_what_is_left(officer: Client, paid: PaymentOrder, sum_typed: str) -> None:
    answered(paid, "accepted")
    do(officer, paid, "refund-part", yuan=sum_typed)
    assert state(paid) == "paid"


def test_a_part_goes_back_by_its_sum(officer: Client, paid: PaymentOrder) -> None:
    answered(paid, "accepted")
    assert "已记录" in do(officer, paid, "refund-part", yuan=" 5.5 ")
    assert (state(paid), paid.refund_fen) == ("refund_due", 550)
    assert re.search(
        r"正在退5\.5元", officer.get(reverse("admin:companion_paymentorder_change", args=[paid.pk])).content.decode()
    )


def test_its_page_tells_state_bill_and_attempts_in_words(officer: Client, held: PaymentOrder) -> None:
    page = reverse("admin:companion_paymentorder_change", args=[held.pk])
    officer.post(page, {"why": "处理退款"})
    shown = officer.get(page).content.decode()
    for words in ("已付款", "医院一直没有应答", "等医院确认,自付20元", "未能送达:试了8次"):
        assert words in shown
    assert "&#x27;paid&#x27;" not in shown and "&#x27;unanswered&#x27;" not in shown


def test_an_order_or_a_deed_that_is_not_there_is_said_in_words(officer: Client, held: PaymentOrder) -> None:
    assert "没有这项操作" in officer.get(address(held, "nothing"), follow=True).content.decode()
    gone = address(held, "refund")
    held.delete()
    assert "没有找到" in officer.get(gone, follow=True).content.decode()
