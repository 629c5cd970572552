"""Residents, the identities they sign in with, and the people they may act for.

Everything personal is encrypted with the resident's own key, so that erasing the key erases her.
"""

import uuid

from django.db import models

from hospitals.vault import EncryptedTextField


class Resident(models.Model):
    """A person who signs in. Her own health data hang on the Patient with relation "self"."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = EncryptedTextField(owner=("resident", "id"))
    phone = EncryptedTextField(owner=("resident", "id"), default="")
    speech_rate = models.FloatField(default=1.0)
    large_type = models.BooleanField(default=True)
    quiet_from = models.TimeField(default="21:30")
    quiet_until = models.TimeField(default="07:30", db_index=True)  # the beat asks each minute whose have ended
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "居民"
        verbose_name_plural = "居民"

    def __str__(self) -> str:
        return f"居民 {str(self.id)[:8]}"


class ExternalIdentity(models.Model):
    """A super-app's name for a resident: (provider, app, open id) → resident.

    It is found by its blind index; the open id itself is sealed under her key, for the index to be made anew from.
    """

    provider = models.CharField(max_length=20)
    app_id = models.CharField(max_length=64)
    open_id_index = models.CharField(max_length=64)
    open_id = EncryptedTextField(owner=("resident", "resident_id"), null=True)
    resident = models.ForeignKey(Resident, on_delete=models.CASCADE, related_name="identities")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "app_id", "open_id_index"], name="identity_once")]
        verbose_name = "登录身份"
        verbose_name_plural = "登录身份"


class ResidentSession(models.Model):
    """A sign-in. Its token is signed and short-lived; this row lets it be revoked at once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, on_delete=models.CASCADE, related_name="sessions")
    provider = models.CharField(max_length=20, blank=True)  # the kind of app, as ExternalIdentity has it
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "登录"
        verbose_name_plural = "登录"


class Patient(models.Model):
    """A real-name card: the resident herself or a child of hers. Encrypted under the key of its keeper.

    An adult keeps her own card and others act for her with it; so one person is one card in one account.
    """

    class Sex(models.TextChoices):
        MALE = "male", "男"
        FEMALE = "female", "女"
        UNKNOWN = "", "未知"

    class Document(models.TextChoices):
        ID_CARD = "id_card", "居民身份证"
        PASSPORT = "passport", "护照"
        HK_MACAU_TAIWAN = "hk_macau_taiwan_permit", "港澳台居民通行证或居住证"
        FOREIGN_RESIDENT = "foreign_resident_permit", "外国人永久居留身份证"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    keeper = models.ForeignKey(Resident, on_delete=models.CASCADE, related_name="kept_patients")
    name = EncryptedTextField(owner=("resident", "keeper_id"))
    id_number = EncryptedTextField(owner=("resident", "keeper_id"))
    phone = EncryptedTextField(owner=("resident", "keeper_id"))
    birth_date = EncryptedTextField(owner=("resident", "keeper_id"))  # ISO date
    sex = models.CharField(max_length=6, choices=Sex.choices, blank=True)
    document = models.CharField(max_length=24, choices=Document.choices, default=Document.ID_CARD)
    id_number_index = models.CharField(max_length=64, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["keeper", "id_number_index"],
                condition=~models.Q(id_number_index=""),
                name="a_person_once_an_account",
            )
        ]
        verbose_name = "就诊人"
        verbose_name_plural = "就诊人"

    def __str__(self) -> str:
        return f"就诊人 {str(self.id)[:8]}"


class FamilyLink(models.Model):
    """A resident may act for a patient: as herself, or as family with consent that can run out and be withdrawn."""

    class Relation(models.TextChoices):
        SELF = "self", "本人"
        SPOUSE = "spouse", "爱人"
        FATHER = "father", "父亲"
        MOTHER = "mother", "母亲"
        CHILD = "child", "子女"
        GRANDCHILD = "grandchild", "孙辈"
        OTHER = "other", "其他"

    resident = models.ForeignKey(Resident, on_delete=models.CASCADE, related_name="family")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="links")
    relation = models.CharField(max_length=12, choices=Relation.choices)
    guardian = models.BooleanField(default=False)  # a minor's: declared, not agreed to; ends when she comes of age
    consented_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["resident", "patient"], name="family_link_once")]
        verbose_name = "家人授权"
        verbose_name_plural = "家人授权"


class Invitation(models.Model):
    """A resident asks an adult to let her act for her. Whoever was handed the code answers it in an account of her own.

    Only a keyed hash of the code is kept.
    """

    class State(models.TextChoices):
        OPEN = "open", "等待回复"
        ACCEPTED = "accepted", "已同意"
        DECLINED = "declined", "已拒绝"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, on_delete=models.CASCADE, related_name="invitations")
    relation = models.CharField(max_length=12, choices=FamilyLink.Relation.choices)
    code_index = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "家人邀请"
        verbose_name_plural = "家人邀请"
