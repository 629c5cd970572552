"""A resident's people over HTTP: her real-name card and her children's, invitations and consent. Numbers never come back in clear."""

import re
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from companion import consents, people
from companion.api import ResidentView, bearer
from companion.exceptions import CompanionError, FieldError, InvalidCard
from companion.models import FamilyLink, Patient
from hospitals.api.fields import Flag, Text, Whole

_WORDS = {
    "required": "这一栏还没有填。",
    "blank": "这一栏还没有填。",
    "null": "这一栏还没有填。",
    "max_length": "填得太长了,请照证件再核对一遍。",
    "unknown_field": "没有这一栏。",
    "invalid_choice": "请从给出的几项里选一项。",
}
_ETAG = re.compile(r'"(\d{1,9})"')
IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description='The card\'s version as read: "3". Or in the body.',
)


class Strict(serializers.Serializer[Any]):
    """Refuses what it does not know. Problems say what to do, and never what was sent."""

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        unknown = set(data) - set(self.fields)
        if unknown:
            raise serializers.ValidationError({"": [serializers.ErrorDetail("", code="unknown_field")]})
        return values


class _Card(Strict):
    name = Text(max_length=100, required=False)
    document = serializers.ChoiceField(choices=Patient.Document.values, required=False)
    id_number = Text(max_length=40, required=False)
    phone = Text(max_length=40, required=False)
    birth_date = serializers.DateField(
        required=False, help_text="Of an id card it is read from the number and compared."
    )
    sex = serializers.ChoiceField(choices=Patient.Sex.values, required=False, allow_blank=True)


class NewCardSerializer(_Card):
    relation = serializers.ChoiceField(choices=FamilyLink.Relation.values)
    guardian = Flag(default=False, help_text="For a minor: I am a parent or guardian.")


class ChangedCardSerializer(_Card):
    version = Whole(min_value=1, required=False)


class InviteSerializer(Strict):
    relation = serializers.ChoiceField(choices=FamilyLink.Relation.values, help_text="Anybody but self.")


class ConsentSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    given_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    guardian = serializers.BooleanField()
    holds = serializers.BooleanField()


class CardSerializer(serializers.Serializer[Any]):
    patient_id = serializers.UUIDField()
    name = serializers.CharField()
    relation = serializers.ChoiceField(choices=FamilyLink.Relation.values)
    document = serializers.ChoiceField(choices=Patient.Document.values)
    id_number = serializers.CharField(help_text="Masked.")
    phone = serializers.CharField(help_text="Masked.")
    sex = serializers.ChoiceField(choices=Patient.Sex.values, allow_blank=True)
    age_years = serializers.IntegerField(allow_null=True)
    complete = serializers.BooleanField()
    mine = serializers.BooleanField(help_text="Kept, and to be changed, in this account.")
    version = serializers.IntegerField()
    consent = ConsentSerializer(allow_null=True)


class AgentSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    relation = serializers.CharField(help_text="In words.")
    consent = ConsentSerializer()


class PeopleSerializer(serializers.Serializer[Any]):
    cards = CardSerializer(many=True)
    agents = AgentSerializer(many=True, help_text="Who may act with her own card.")


class InvitedSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Shown this once.")
    relation = serializers.CharField()
    expires_at = serializers.DateTimeField()


class AskedSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    relation = serializers.CharField(help_text="What the one who asks is to her, in words.")
    expires_at = serializers.DateTimeField()
    consent_until = serializers.DateTimeField()
    card_complete = serializers.BooleanField(help_text="Her own card, which accepting needs.")


def _given(serializer: Strict) -> dict[str, Any]:
    """The values, or ``InvalidCard`` with what to do, field by field."""
    if serializer.is_valid():
        return dict(serializer.validated_data)
    wrong = []
    for field, details in serializer.errors.items():
        code = str(getattr(details[0], "code", "invalid")) if isinstance(details, list) else "invalid"
        pointer = f"/{field}" if field in serializer.fields else ""
        wrong.append(FieldError(pointer, code, _WORDS.get(code, "这一栏的格式不对,请再核对一遍。")))
    raise InvalidCard(wrong)


def _shown(card: people.Card, status_code: int = status.HTTP_200_OK) -> Response:
    return Response(CardSerializer(card).data, status=status_code, headers={"ETag": f'"{card.version}"'})


class VersionMissing(CompanionError):
    code = "version_missing"
    status_code = 428
    detail = "请先打开这张卡再改。"


class PeopleView(ResidentView):
    """Her people. Makes her own card, or a minor's; an adult is invited instead."""

    @extend_schema(responses={200: PeopleSerializer})
    def get(self, request: Request) -> Response:
        return Response(PeopleSerializer(people.of(bearer(request).resident_id)).data)

    @extend_schema(request=NewCardSerializer, responses={201: CardSerializer})
    def post(self, request: Request) -> Response:
        who = bearer(request).resident_id
        given = _given(NewCardSerializer(data=request.data))
        return _shown(people.create(resident_id=who, **given), status.HTTP_201_CREATED)


class PersonView(ResidentView):
    """One card."""

    @extend_schema(request=ChangedCardSerializer, responses={200: CardSerializer}, parameters=[IF_MATCH])
    def patch(self, request: Request, patient: UUID) -> Response:
        who = bearer(request).resident_id
        given = _given(ChangedCardSerializer(data=request.data))
        said = _ETAG.fullmatch(request.headers.get("If-Match", "").strip())
        version = given.pop("version", None) or (int(said[1]) if said else None)
        if version is None:
            raise VersionMissing
        return _shown(people.change(resident_id=who, patient_id=patient, version=version, **given))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, patient: UUID) -> Response:
        people.remove(resident_id=bearer(request).resident_id, patient_id=patient)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InvitationsView(ResidentView):
    """Asks an adult to let her act for her; the code is for that adult."""

    @extend_schema(request=InviteSerializer, responses={201: InvitedSerializer})
    def post(self, request: Request) -> Response:
        who = bearer(request).resident_id
        made = consents.invite(resident_id=who, relation=_given(InviteSerializer(data=request.data))["relation"])
        return Response(InvitedSerializer(made).data, status=status.HTTP_201_CREATED)


class InvitationView(ResidentView):
    """Who asks for what."""

    @extend_schema(responses={200: AskedSerializer})
    def get(self, request: Request, code: str) -> Response:
        return Response(AskedSerializer(consents.invitation(resident_id=bearer(request).resident_id, code=code)).data)


class AcceptView(ResidentView):
    @extend_schema(request=None, responses={201: AgentSerializer})
    def post(self, request: Request, code: str) -> Response:
        agent = consents.accept(resident_id=bearer(request).resident_id, code=code)
        return Response(AgentSerializer(agent).data, status=status.HTTP_201_CREATED)


class DeclineView(ResidentView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, code: str) -> Response:
        consents.decline(resident_id=bearer(request).resident_id, code=code)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ConsentView(ResidentView):
    """Ends a consent, from either side, at once."""

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, consent: int) -> Response:
        consents.withdraw(resident_id=bearer(request).resident_id, consent_id=consent)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RenewView(ResidentView):
    """Another year from now; by her with whose card it is done."""

    @extend_schema(request=None, responses={200: ConsentSerializer})
    def post(self, request: Request, consent: int) -> Response:
        found = consents.renew(resident_id=bearer(request).resident_id, consent_id=consent)
        return Response(ConsentSerializer(found).data)
