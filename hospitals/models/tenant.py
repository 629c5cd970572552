"""One hospital's own rows: appointments, holds, commands on their way out, events that came in. No query without a scope."""

import uuid

from django.db import models
from django.utils import timezone

from hospitals.models.directory import Slot
from hospitals.tenancy import TenantModel
from hospitals.vault import EncryptedJSONField, EncryptedTextField

OWNER = ("hospital", "hospital_id")
# Whose data it is: the resident who keeps the patient's card. Copies of hers open with her key and the hospital's together, and
# are gone when either of them is. None: nobody's (a rehearsal's invented patient), or erased.
HERS = ("resident", "keeper_id")


class TenantMeta:
    """Managers that raise without a scope, also for refreshing, saving and following relations."""

    base_manager_name = "objects"


class Appointment(TenantModel):
    """A place taken in a slot. ``subject`` is the companion's patient id; the card is what the hospital is told, and goes
    some while after it was (hospitals.services.retention)."""

    class State(models.TextChoices):
        PENDING = "pending", "等医院确认"
        BOOKED = "booked", "已预约"
        CANCELLING = "cancelling", "等医院确认取消"  # still hers: the hospital may refuse
        CHECKED_IN = "checked_in", "已取号"
        FINISHED = "finished", "已就诊"
        CANCELLED = "cancelled", "已取消"
        REFUSED = "refused", "未约成"
        STOPPED = "stopped", "已停诊"
        NO_SHOW = "no_show", "未到"

    GAVE_ITS_PLACE_BACK = (State.CANCELLED, State.REFUSED, State.STOPPED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="appointments")
    subject = models.UUIDField()
    keeper_id = models.UUIDField(null=True, editable=False)
    card = EncryptedJSONField(owner=OWNER, also=HERS, null=True)
    id_number_index = models.CharField(max_length=64, db_index=True)
    state = models.CharField("状态", max_length=12, choices=State.choices, default=State.PENDING)
    idempotency_key = models.CharField(max_length=160)
    reference = models.CharField("医院编号", max_length=64, blank=True)
    # The schedule's id, copied from the slot: lets the database itself refuse one person a practitioner's half day twice.
    half_day = models.UUIDField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(auto_now=True)
    erased_at = models.DateTimeField(
        null=True, editable=False
    )  # whose it was asked for that: nothing more is kept of it

    class Meta(TenantMeta):
        constraints = [
            models.UniqueConstraint(fields=["hospital", "idempotency_key"], name="appointment_once"),
            models.UniqueConstraint(
                fields=["half_day", "id_number_index"],
                condition=models.Q(state__in=["pending", "booked", "cancelling"]),
                name="one_place_a_half_day_and_person",
            ),
            models.UniqueConstraint(
                fields=["slot", "subject"],
                condition=models.Q(state__in=["pending", "booked", "cancelling", "checked_in"]),
                name="one_place_a_slot_and_person",
            ),
        ]
        indexes = [models.Index(fields=["hospital", "subject", "created_at"])]
        verbose_name = "预约"
        verbose_name_plural = "预约"

    def __str__(self) -> str:
        return f"预约 {str(self.id)[:8]}"


class SlotHold(TenantModel):
    """A place kept for somebody until ``expires_at``: while she fills her card, or when the waiting list reached her."""

    class State(models.TextChoices):
        HELD = "held", "保留中"
        USED = "used", "已预约"
        RELEASED = "released", "已放回"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slot = models.ForeignKey(Slot, on_delete=models.CASCADE, related_name="holds")
    subject = models.UUIDField()
    state = models.CharField("状态", max_length=10, choices=State.choices, default=State.HELD)
    expires_at = models.DateTimeField("到期")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantMeta):
        constraints = [
            models.UniqueConstraint(
                fields=["slot", "subject"], condition=models.Q(state="held"), name="one_hold_a_slot_and_person"
            )
        ]
        indexes = [models.Index(fields=["state", "expires_at"])]
        verbose_name = "占号"
        verbose_name_plural = "占号"


class WaitingEntry(TenantModel):
    """Somebody waits for a place with this department on these days. ``hold``: the place that was kept for her."""

    class State(models.TextChoices):
        WAITING = "waiting", "候补中"
        OFFERED = "offered", "已有号"
        BOOKED = "booked", "已预约"
        LEFT = "left", "已退出"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    department = models.ForeignKey("hospitals.Department", on_delete=models.CASCADE, related_name="waiting")
    practitioner = models.ForeignKey("hospitals.Practitioner", on_delete=models.CASCADE, null=True, blank=True)
    subject = models.UUIDField()
    first_day = models.DateField()
    last_day = models.DateField()
    state = models.CharField("状态", max_length=10, choices=State.choices, default=State.WAITING)
    hold = models.ForeignKey(SlotHold, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    told_at = models.DateTimeField(null=True, blank=True)  # when she was told of the place that is held for her
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantMeta):
        constraints = [
            models.UniqueConstraint(
                fields=["department", "subject"], condition=models.Q(state="waiting"), name="waits_once_a_department"
            )
        ]
        indexes = [models.Index(fields=["department", "state", "created_at"])]
        verbose_name = "候补"
        verbose_name_plural = "候补"


class OutboxCommand(TenantModel):
    """What a resident did, until her hospital has answered. Written with the deed; done once, by its key."""

    class State(models.TextChoices):
        WAITING = "waiting", "待送达"
        ACCEPTED = "accepted", "医院已接受"
        REFUSED = "refused", "医院未接受"
        GIVEN_UP = "given_up", "未能送达"
        WITHDRAWN = "withdrawn", "未送出已撤回"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    appointment = models.ForeignKey(Appointment, on_delete=models.CASCADE, related_name="commands")
    kind = models.CharField("操作", max_length=12)
    keeper_id = models.UUIDField(null=True, editable=False)
    data = EncryptedJSONField(owner=OWNER, also=HERS, default=dict, null=True)
    idempotency_key = models.CharField(max_length=160)
    state = models.CharField("状态", max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField("次数", default=0)
    next_attempt_at = models.DateTimeField("下次", default=timezone.now)
    sent_at = models.DateTimeField("首次送出", null=True, blank=True)  # None: the hospital cannot have heard of it
    retry_until = models.DateTimeField("重试到", null=True, blank=True)  # set by whoever takes it up again
    reason = models.CharField("原因", max_length=200, blank=True)
    created_at = models.DateTimeField("时间", default=timezone.now)
    done_at = models.DateTimeField("完成", null=True, blank=True)

    class Meta(TenantMeta):
        constraints = [models.UniqueConstraint(fields=["hospital", "idempotency_key"], name="command_once")]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=models.Q(state="waiting"), name="outbox_waiting"),
            models.Index(fields=["created_at"]),
        ]
        ordering = ["created_at", "id"]
        verbose_name = "待送达操作"
        verbose_name_plural = "待送达操作"
        permissions = [("replay_outboxcommand", "可以重新送达")]

    def __str__(self) -> str:
        return f"{self.kind} {str(self.appointment_id)[:8]}"


class InboxEvent(TenantModel):
    """An event as the hospital sent it. Dead ones could not be used: a person may replay them."""

    class State(models.TextChoices):
        RECEIVED = "received", "待处理"
        DONE = "done", "已处理"
        DEAD = "dead", "死信"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    event_id = models.CharField("事件编号", max_length=120)
    type = models.CharField("类型", max_length=40)
    appointment_key = models.CharField("预约", max_length=64, db_index=True)
    sequence = models.BigIntegerField("序号")
    keeper_id = models.UUIDField(null=True, editable=False)
    body = EncryptedTextField(owner=OWNER, also=HERS, null=True)  # None: not kept, or no longer
    digest = models.CharField(
        max_length=64, blank=True, editable=False
    )  # of what it says, to know another by the same id
    state = models.CharField("状态", max_length=10, choices=State.choices, default=State.RECEIVED)
    attempts = models.PositiveIntegerField("次数", default=0)
    reason = models.CharField("原因", max_length=60, blank=True)
    received_at = models.DateTimeField("收到", default=timezone.now)
    next_attempt_at = models.DateTimeField("下次", default=timezone.now)
    done_at = models.DateTimeField("处理", null=True, blank=True)

    class Meta(TenantMeta):
        constraints = [models.UniqueConstraint(fields=["hospital", "event_id"], name="inbox_event_once")]
        indexes = [
            models.Index(fields=["received_at"], condition=models.Q(state="received"), name="inbox_received"),
            models.Index(fields=["received_at"], condition=models.Q(state="dead"), name="inbox_dead"),
            models.Index(fields=["hospital", "state", "received_at"]),
            models.Index(fields=["received_at"]),
        ]
        verbose_name = "收到的事件"
        verbose_name_plural = "收到的事件"
        permissions = [("replay_inboxevent", "可以重放死信")]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id[:12]}"


class HospitalCredential(TenantModel):
    """A secret shared with a hospital. Two may be valid at once, so that it can be changed without a gap."""

    class Kind(models.TextChoices):
        EVENTS = "events", "事件签名(医院签)"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField("用途", max_length=10, choices=Kind.choices)
    secret = EncryptedTextField(owner=OWNER)
    created_at = models.DateTimeField("生成", default=timezone.now)
    expires_at = models.DateTimeField("到期", null=True, blank=True)

    class Meta(TenantMeta):
        verbose_name = "医院密钥"
        verbose_name_plural = "医院密钥"


class Circuit(models.Model):
    """Whether a hospital's system is worth calling now. After repeated failures calls wait until ``open_until``."""

    hospital = models.OneToOneField(
        "hospitals.Hospital", on_delete=models.CASCADE, primary_key=True, related_name="circuit", verbose_name="医院"
    )
    failures = models.PositiveIntegerField("连续没有应答", default=0)
    open_until = models.DateTimeField("暂不联系到", null=True, blank=True)
    last_failure = models.CharField("最近一次原因", max_length=60, blank=True)
    changed_at = models.DateTimeField("最近变化", auto_now=True)

    class Meta:
        verbose_name = "没有应答的系统"
        verbose_name_plural = "没有应答的系统"
