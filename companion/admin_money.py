"""Bills paid online in the admin: what became of each, which wait for a person, and what that person may do about them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from companion import waiting_money
from companion.exceptions import CompanionError, NotFound
from companion.models import PaymentOrder
from companion.on_record import OnRecord
from companion.prompts import yuan
from hospitals import tenancy
from hospitals.admin import Colours, Province, ReadOnly, one_of
from hospitals.admin.base import by
from hospitals.connectors.money import fen
from hospitals.services import payments
from hospitals.services.payments import Tried

Waits, State = PaymentOrder.Waits, PaymentOrder.State
GATEWAYS = {"alipay": "支付宝", "wechat": "微信支付", "sandbox": "演示支付"}


class ReasonForm(forms.Form):
    """Why, and what the hospital said: it goes into the audit log."""

    reason = forms.CharField(
        label="理由(问了医院哪个科室、怎么答复的,请不要写居民的姓名和电话)",
        min_length=4,
        max_length=200,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, order: PaymentOrder, **kwargs: Any) -> None:
        self.order = order
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name != "reason"])


class SumForm(ReasonForm):
    """``yuan``: typed, so that it is not the wrong bill."""

    yuan = forms.CharField(label="金额(元)", max_length=12, widget=UnfoldAdminTextInputWidget)

    def clean_yuan(self) -> int:
        try:
            return fen(self.cleaned_data["yuan"].strip())
        except ValueError as error:
            raise forms.ValidationError("请写成 12.50 这样的金额。") from error

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if "yuan" in given:
            given["amount_fen"] = given.pop("yuan")
        return given


class WholeForm(SumForm):
    paid_elsewhere = forms.BooleanField(
        label="医院系统里这笔费用是已缴:已问清是在窗口或自助机另外缴的,线上这笔没有入账",
        widget=UnfoldBooleanSwitchWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["yuan"].label = "请输入要退的金额(元),确认没有选错"
        if waiting_money.bill_state(self.order)[0] != "paid":
            del self.fields["paid_elsewhere"]

    def clean_yuan(self) -> int:
        if (amount_fen := super().clean_yuan()) != self.order.left_fen:
            raise forms.ValidationError("与这笔缴费的金额不一致。")
        return amount_fen

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        given.pop("amount_fen", None)
        return given


class PartForm(SumForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["yuan"].label = f"退多少(元),最多{yuan(self.order.left_fen)}"

    def clean_yuan(self) -> int:
        amount_fen = super().clean_yuan()
        if not 0 < amount_fen <= self.order.left_fen:
            raise forms.ValidationError(f"要大于零,最多{yuan(self.order.left_fen)}。")
        return amount_fen


@dataclass(frozen=True, slots=True)
class Deed:
    """``offered``: whether it can be done with this order now; whoever does it asks again, and it is done once."""

    label: str
    do: Callable[..., None]
    offered: Callable[[PaymentOrder], bool]
    form: type[ReasonForm] = ReasonForm
    warning: str = ""


def _unanswered(order: PaymentOrder) -> bool:
    return order.waits_because == Waits.UNANSWERED and order.state == State.PAID


def _to_part(order: PaymentOrder) -> bool:
    settled = order.state in (State.PAID, State.REFUNDED) and order.left_fen > 0
    return settled and waiting_money.acknowledged(order)


DEEDS: dict[str, Deed] = {
    "refund": Deed(
        "退款",
        waiting_money.give_back,
        _unanswered,
        WholeForm,
        "只有医院明确说没有收到这笔缴费才能退。全部金额原路退回,不能撤销;这笔缴费不会再送给医院。",
    ),
    "arrived": Deed(
        "已与医院核对:款项已入账",
        waiting_money.arrived,
        _unanswered,
        warning="只有医院明确说这笔缴费已经入账才能选。钱归医院,居民会听到不用再缴;这笔缴费不会再送给医院。",
    ),
    "refund-part": Deed(
        "退还一部分",
        waiting_money.give_back_part,
        _to_part,
        PartForm,
        "医院已经确认这笔缴费。只退医院要求由线上退还的部分;医院自己在窗口退的,这里不要再退。不能撤销。",
    ),
    "keep": Deed(
        "已与医院核对:不用线上退",
        waiting_money.keep,
        lambda order: order.waits_because == Waits.LOWERED,
        warning="居民会听到钱已经入账,线上不退。",
    ),
}


def tried_line(one: Tried) -> str:
    if one.sent_at is None:
        heard = "从来没有送出,医院不会收到"
    else:
        heard = f"首次送出 {timezone.localtime(one.sent_at):%m-%d %H:%M}"
        heard += "" if one.reason == payments.BY_HAND or one.state == payments.State.ACCEPTED else ",医院可能收到过"
    by_hand = ",由人工核对" if one.reason == payments.BY_HAND else ""
    return f"{one.label}{by_hand}:试了{one.attempts}次,{heard}"


@admin.register(PaymentOrder)
class PaymentOrderAdmin(OnRecord, ReadOnly, Province):
    """What became of each bill that was paid online; the gateway's number masked, and found by when it is typed in whole."""

    ordering = ("-created_at", "id")
    date_hierarchy = "created_at"
    list_select_related = ("visit",)
    list_display = (
        *("created_at", "hospital", "amount", "gateway", "shown_state", "shown_waits", "waits_since", "shown_tried"),
        *("shown_trade", "changed_at"),
    )
    list_filter = (
        ("waits_since", admin.EmptyFieldListFilter),
        one_of("等人处理", "waits_because", Waits.choices),
        one_of("状态", "state", State.choices),
        one_of("支付平台", "engine", list(GATEWAYS.items())),
    )
    search_fields = ("=trade_number", "=id")
    fields = (
        *("hospital", "invoice_id", "amount", "refunded", "gateway", "state_now", "waits_now", "waits_since"),
        *("bill", "attempts", "shown_trade", "paid_at", "created_at", "changed_at"),
    )
    readonly_fields = fields

    # --- the list -----------------------------------------------------------------------------------------------
    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With what was tried of those that wait for a person, in one look."""
        found = super().get_changelist_instance(request)
        waiting = [row for row in found.result_list if row.waits_since]
        if waiting:
            with tenancy.commission("admin:paymentorder", f"管理后台:{request.user.get_username()}"):
                tried = payments.tried_of((row.visit_id, row.invoice_id) for row in waiting)
            for row in waiting:
                row.tried_of_it = tried[row.visit_id, row.invoice_id]
        return found

    @display(description="医院")
    def hospital(self, order: PaymentOrder) -> str:
        return order.visit.hospital_name

    @display(description="金额", ordering="amount_fen")
    def amount(self, order: PaymentOrder) -> str:
        return f"{order.amount_fen // 100}.{order.amount_fen % 100:02}元"

    @display(description="支付平台", ordering="engine")
    def gateway(self, order: PaymentOrder) -> str:
        return GATEWAYS.get(order.engine, order.engine)

    @display(
        description="状态",
        label=Colours(paid="success", refund_due="danger", refunded="warning", close_due="warning"),
    )
    def shown_state(self, order: PaymentOrder) -> tuple[str, str]:
        return order.state, order.get_state_display()

    @display(description="等人处理", label=dict.fromkeys(Waits.values, "danger"))
    def shown_waits(self, order: PaymentOrder) -> tuple[str, str]:
        return order.waits_because, order.get_waits_because_display() or "—"

    @display(description="试过")
    def shown_tried(self, order: PaymentOrder) -> str:
        tried: list[Tried] = getattr(order, "tried_of_it", [])
        return tried_line(tried[-1]) if tried else "—"

    @display(description="支付平台单号")
    def shown_trade(self, order: PaymentOrder) -> str:
        return f"…{order.trade_number[-4:]}" if order.trade_number else "—"

    # --- one order ----------------------------------------------------------------------------------------------
    @display(description="状态")
    def state_now(self, order: PaymentOrder) -> str:
        return order.get_state_display()

    @display(description="等人处理")
    def waits_now(self, order: PaymentOrder) -> str:
        return order.get_waits_because_display() or "—"

    @display(description="已退")
    def refunded(self, order: PaymentOrder) -> str:
        due = f",正在退{yuan(order.refund_fen or order.left_fen)}" if order.state == State.REFUND_DUE else ""
        return f"{yuan(order.refunded_fen)}{due}"

    @display(description="医院的账单")
    def bill(self, order: PaymentOrder) -> str:
        state, due_fen = waiting_money.bill_state(order)
        named = {"issued": "待缴", "sent": "等医院确认", "paid": "已缴", "cancelled": "已撤销"}.get(state, "看不到")
        return f"{named},自付{yuan(due_fen)}" if state else named

    @display(description="送达经过")
    def attempts(self, order: PaymentOrder) -> SafeString:
        return format_html_join("", "<p>{}</p>", ((tried_line(one),) for one in waiting_money.tried(order)))

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("companion.settle_paymentorder")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.settle)
        return [path("<uuid:order_id>/settle/<slug:name>/", view, name="companion_settle"), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """The buttons of what can be done with it now."""
        if obj is not None and self.has_settle_permission(request):
            context["actions_detail"] = [
                {"title": deed.label, "path": reverse("admin:companion_settle", args=[obj.pk, name])}
                for name, deed in DEEDS.items()
                if deed.offered(obj)
            ]
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def settle(self, request: HttpRequest, order_id: UUID, name: str) -> HttpResponse:
        """Ask for the reason, then do it; what cannot be done now is said in words."""
        back = HttpResponseRedirect(reverse("admin:companion_paymentorder_change", args=[order_id]))
        deed = DEEDS.get(name)
        if deed is None or not self.has_settle_permission(request):
            messages.error(request, "没有这项操作,或者没有这项权限。")
            return HttpResponseRedirect(reverse("admin:companion_paymentorder_changelist"))
        try:
            order = waiting_money.order(order_id)
        except NotFound as error:
            messages.error(request, error.detail)
            return HttpResponseRedirect(reverse("admin:companion_paymentorder_changelist"))
        if not deed.offered(order):
            messages.error(request, f"这笔缴费现在是「{order.get_state_display()}」,不能{deed.label}。")
            return back
        form = deed.form(request.POST or None, order=order)
        if request.method == "POST" and form.is_valid():
            try:
                deed.do(order_id=order.id, actor=by(request), **form.cleaned_data)
            except CompanionError as error:
                messages.error(request, error.detail)
            else:
                messages.success(request, f"{deed.label},已记录。")
            return back
        context = self.admin_site.each_context(request) | {
            "title": deed.label,
            "form": form,
            "order": order,
            "deed": deed,
            "opts": self.model._meta,
            "facts": [
                (show.short_description, show(order) or "—")
                for show in (self.hospital, self.amount, self.refunded, self.bill, self.attempts)
            ],
            "too_much": yuan(waiting_money.too_much_fen(order)) if order.waits_because == Waits.LOWERED else "",
        }
        return TemplateResponse(request, "companion/admin_settle.html", context)
