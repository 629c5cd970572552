"""The public directory: what every resident may read of every hospital. Nothing personal stands here.

``identifier`` is the hospital's own name of a row; (hospital, identifier) is unique. ``changed_at`` is the cursor of
incremental reading, ``withdrawn_at`` the tombstone: withdrawn rows are no longer offered but appointments still point at them.
"""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone


class Hospital(models.Model):
    """One institution, a tenant. ``code`` names it in addresses and headers."""

    class State(models.TextChoices):
        APPLIED = "applied", "已申请"
        VERIFIED = "verified", "已核验"
        SANDBOX = "sandbox", "联调中"
        CONFORMANCE_PASSED = "conformance_passed", "已通过联调"
        LIVE = "live", "已上线"
        SUSPENDED = "suspended", "已暂停"
        LEFT = "left", "已退出"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.SlugField("代码", max_length=40, unique=True)
    name = models.CharField("名称", max_length=100, unique=True)
    nicknames = models.JSONField("俗称", default=list, blank=True)
    level = models.CharField("等级", max_length=20, blank=True)
    city = models.CharField("城市", max_length=30, db_index=True)
    address = models.CharField("地址", max_length=200, blank=True)
    phone = models.CharField("电话", max_length=30, blank=True)
    has_emergency = models.BooleanField("有急诊", default=False)
    opening_hours = models.CharField("门诊时间", max_length=100, blank=True)
    state = models.CharField("状态", max_length=20, choices=State.choices, default=State.APPLIED, db_index=True)
    connector = models.CharField("对接方式", max_length=20, default="push")
    # The hospital's own rules.
    missed_call_rule = models.CharField("过号规则", max_length=200, default="请回到诊室门口重新报到,隔3位再叫您。")
    requeue_after = models.PositiveSmallIntegerField("过号后隔几位", default=3)
    cancel_until_min = models.PositiveIntegerField("就诊前多少分钟内不能取消", default=60)
    check_in_opens_min = models.PositiveIntegerField("就诊前多少分钟起可以取号", null=True, blank=True)
    no_show_limit = models.PositiveSmallIntegerField("爽约几次后暂停线上预约", default=3)
    no_show_days = models.PositiveSmallIntegerField("爽约按多少天计", default=90)
    hold_min = models.PositiveSmallIntegerField("占号保留分钟", default=10)
    # How it speaks and is spoken of.
    avatar = models.CharField("形象", max_length=40, default="xiaolan")
    voice = models.CharField("声音", max_length=60, blank=True)
    lexicon = models.JSONField("读音词典", default=list, blank=True, help_text="[[写法, 读音], …]")
    created_at = models.DateTimeField("申请时间", auto_now_add=True)
    changed_at = models.DateTimeField("最近变化", auto_now=True, db_index=True)

    class Meta:
        verbose_name = "医院"
        verbose_name_plural = "医院"
        ordering = ["city", "name"]
        permissions = [("onboard_hospital", "可以核验、上线、暂停医院")]

    def __str__(self) -> str:
        return self.name


class OnboardingStep(models.Model):
    """One move of a hospital through onboarding: from where to where, when, by whom and why."""

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="onboarding", verbose_name="医院")
    source = models.CharField("从", max_length=20, choices=Hospital.State.choices, blank=True)
    target = models.CharField("到", max_length=20, choices=Hospital.State.choices)
    actor = models.CharField("经办人", max_length=150)
    reason = models.CharField("说明", max_length=300, blank=True)
    at = models.DateTimeField("时间", default=timezone.now)

    class Meta:
        ordering = ["at", "id"]
        verbose_name = "接入记录"
        verbose_name_plural = "接入记录"

    def __str__(self) -> str:
        return f"{self.get_source_display()} → {self.get_target_display()}"


class DirectoryRow(models.Model):
    """What the directory's rows share."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    identifier = models.CharField("院内编号", max_length=64)
    changed_at = models.DateTimeField("最近变化", auto_now=True, db_index=True)
    withdrawn_at = models.DateTimeField("撤下时间", null=True, blank=True)

    class Meta:
        abstract = True

    hospital_id: uuid.UUID


class Campus(DirectoryRow):
    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="campuses", verbose_name="医院")
    name = models.CharField("名称", max_length=60)
    address = models.CharField("地址", max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hospital", "identifier"], name="campus_once")]
        verbose_name = "院区"
        verbose_name_plural = "院区"

    def __str__(self) -> str:
        return self.name


class Building(DirectoryRow):
    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="buildings", verbose_name="医院")
    campus = models.ForeignKey(Campus, on_delete=models.CASCADE, related_name="buildings", verbose_name="院区")
    name = models.CharField("名称", max_length=60)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hospital", "identifier"], name="building_once")]
        verbose_name = "楼"
        verbose_name_plural = "楼"

    def __str__(self) -> str:
        return self.name


class Floor(DirectoryRow):
    """``number`` orders floors: 1 is the ground floor, -1 the first basement. A building has one of each, beside withdrawn ones."""

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="floors", verbose_name="医院")
    building = models.ForeignKey(Building, on_delete=models.CASCADE, related_name="floors", verbose_name="楼")
    number = models.SmallIntegerField("层")
    name = models.CharField("名称", max_length=20)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["building", "number"], condition=models.Q(withdrawn_at=None), name="floor_once"
            )
        ]
        ordering = ["building", "number"]
        verbose_name = "楼层"
        verbose_name_plural = "楼层"

    def __str__(self) -> str:
        return f"{self.building.name}{self.name}"


class Department(DirectoryRow):
    """A hospital's department: its own name, mapped to the standard name and the national code; where it sees patients."""

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="departments", verbose_name="医院")
    name = models.CharField("名称", max_length=60)
    standard_name = models.CharField("标准科室", max_length=30)
    national_code = models.CharField("国家代码", max_length=10)
    room_code = models.CharField("诊室代码", max_length=64, blank=True)
    room_name = models.CharField("诊室", max_length=60, blank=True)
    place = models.CharField("位置", max_length=100, blank=True)  # 7号楼1楼B区
    bookable = models.BooleanField("可预约", default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hospital", "identifier"], name="department_once")]
        indexes = [models.Index(fields=["standard_name", "hospital"])]
        verbose_name = "科室"
        verbose_name_plural = "科室"

    def __str__(self) -> str:
        return self.name


class Practitioner(DirectoryRow):
    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="practitioners", verbose_name="医院")
    department = models.ForeignKey(
        Department, on_delete=models.CASCADE, related_name="practitioners", verbose_name="科室"
    )
    name = models.CharField("姓名", max_length=30, db_index=True)
    title = models.CharField("职称", max_length=30, blank=True)
    specialty = models.CharField("擅长", max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hospital", "identifier"], name="practitioner_once")]
        verbose_name = "医生"
        verbose_name_plural = "医生"

    def __str__(self) -> str:
        return self.name


class Schedule(DirectoryRow):
    """One practitioner's half day. ``stopped_at``: the clinic does not take place (停诊)."""

    class Period(models.TextChoices):
        MORNING = "morning", "上午"
        AFTERNOON = "afternoon", "下午"
        EVENING = "evening", "晚上"

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="schedules", verbose_name="医院")
    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="schedules", verbose_name="科室")
    practitioner = models.ForeignKey(
        Practitioner, on_delete=models.CASCADE, related_name="schedules", verbose_name="医生"
    )
    day = models.DateField("日期", db_index=True)
    period = models.CharField("时段", max_length=10, choices=Period.choices)
    stopped_at = models.DateTimeField("停诊", null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hospital", "identifier"], name="schedule_once")]
        verbose_name = "排班"
        verbose_name_plural = "排班"

    def __str__(self) -> str:
        return f"{self.day} {self.get_period_display()}"


class Slot(models.Model):
    """Places with one practitioner at one time. ``free`` is only ever changed by a conditional UPDATE.

    ``stopped``: off sale, for whatever reason; ``stopped_itself``: the hospital stopped or withdrew this slot, whatever its
    half day does (hospitals.services.places).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="slots", verbose_name="医院")
    identifier = models.CharField("院内编号", max_length=64)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="slots", verbose_name="排班")
    department = models.ForeignKey(
        Department, on_delete=models.CASCADE, related_name="slots", db_index=False, verbose_name="科室"
    )
    practitioner = models.ForeignKey(Practitioner, on_delete=models.CASCADE, related_name="slots", verbose_name="医生")
    start = models.DateTimeField("开始")
    end = models.DateTimeField("结束")
    capacity = models.PositiveSmallIntegerField("号数")
    free = models.PositiveSmallIntegerField("余号")
    fee_fen = models.PositiveIntegerField("诊查费(分)", default=0)
    stopped = models.BooleanField("停诊", default=False)
    stopped_itself = models.BooleanField("本号源停诊", default=False, db_default=False)
    changed_at = models.DateTimeField("最近变化", auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hospital", "identifier"], name="slot_once"),
            models.CheckConstraint(
                condition=models.Q(free__lte=models.F("capacity")), name="slot_free_within_capacity"
            ),
            models.CheckConstraint(condition=models.Q(end__gt=models.F("start")), name="slot_ends_after_start"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["department", "start"], name="slot_department_start"),
        ]
        verbose_name = "号源"
        verbose_name_plural = "号源"

    def __str__(self) -> str:
        return f"{timezone.localtime(self.start):%m-%d %H:%M} {self.free}/{self.capacity}"


class IndoorMap(models.Model):
    """A hospital's indoor map as GeoJSON (docs/maps.md tells its properties); ``version`` grows with each upload."""

    hospital = models.OneToOneField(
        Hospital, on_delete=models.CASCADE, related_name="indoor_map", primary_key=True, verbose_name="医院"
    )
    version = models.PositiveIntegerField("版本", default=1)
    geojson = models.JSONField()
    changed_at = models.DateTimeField("上传时间", auto_now=True)

    class Meta:
        verbose_name = "院内地图"
        verbose_name_plural = "院内地图"

    def __str__(self) -> str:
        return f"{self.hospital.name} v{self.version}"


class Notice(DirectoryRow):
    """What a hospital tells everybody: a changed entrance, a holiday's hours."""

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="notices", verbose_name="医院")
    text = models.CharField("内容", max_length=300)
    starts_at = models.DateTimeField("开始")
    ends_at = models.DateTimeField("结束")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hospital", "identifier"], name="notice_once")]
        verbose_name = "公告"
        verbose_name_plural = "公告"

    def __str__(self) -> str:
        return self.text[:30]
