"""The blind indexes of residents, their cards and invitations, for when the index's key is changed."""

from django.utils import timezone

from companion import signin
from companion.models import ExternalIdentity, Invitation, Patient
from hospitals import vault
from hospitals.services import reindexing
from hospitals.services.reindexing import NOBODY, Indexed


def identity(row: ExternalIdentity) -> tuple[str, str] | None:
    """None until she has signed in once since the open id is kept."""
    return (signin.index_purpose(row.provider, row.app_id), row.open_id) if row.open_id else None


def invitation(row: Invitation) -> tuple[str, str] | None:
    """Nobody has its code but the one it was given to; it is waited for, three days at most."""
    over = row.state != Invitation.State.OPEN or row.expires_at <= timezone.now()
    return NOBODY if over else None


reindexing.register(
    Indexed(
        Patient,
        "id_number_index",
        lambda row: ("id_number", row.id_number),
        "id_number",
        open_all=lambda rows: vault.open_keys("resident", {row.keeper_id for row in rows}),
    ),
    Indexed(
        ExternalIdentity,
        "open_id_index",
        identity,
        "open_id",
        open_all=lambda rows: vault.open_keys("resident", {row.resident_id for row in rows}),
    ),
    Indexed(Invitation, "code_index", invitation),
)
