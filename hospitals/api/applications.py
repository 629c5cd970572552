"""Joining: a hospital applies, sees where it stands, and fetches its credentials with the claim it was given."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals.api.answers import caller_address
from hospitals.api.base import HospitalView
from hospitals.api.fields import Exact, Text, Whole
from hospitals.api.schema import OpenView
from hospitals.exceptions import Unauthenticated
from hospitals.models import ApiClient, Hospital
from hospitals.services import access, limits, onboarding
from hospitals.services.onboarding import Application, Contact

CONNECTORS = ("push", "fhir", "hl7v2", "sandbox")
# Unicode's control characters have no place in a name
PLAIN = r"^[^\x00-\x1f\x7f]+$"


class ContactSerializer(Exact):
    name = Text(PLAIN, max_length=40)
    phone = Text(r"^\+?[0-9 -]{5,20}$")
    email = serializers.EmailField(max_length=120, trim_whitespace=False)


class ApplicationRequestSerializer(Exact):
    code = Text(r"^[a-z][a-z0-9-]{2,38}[a-z0-9]$", help_text="医院代码:小写字母、数字、连字符,以后不能改。")
    name = Text(PLAIN, max_length=100)
    city = Text(PLAIN, max_length=30)
    licence_number = Text(r"^[A-Za-z0-9-]{4,40}$", help_text="《医疗机构执业许可证》登记号")
    level = Text(PLAIN, max_length=20, required=False, default="")
    address = Text(PLAIN, max_length=200, required=False, default="")
    phone = Text(r"^[0-9 -]{5,30}$", required=False, default="")
    connector = serializers.ChoiceField(choices=CONNECTORS, required=False, default="push")
    contact = ContactSerializer()


class ApplicationSerializer(serializers.Serializer[Any]):
    hospital_id = serializers.UUIDField()
    code = serializers.CharField()
    state = serializers.ChoiceField(choices=Hospital.State.choices)


class AppliedSerializer(ApplicationSerializer):
    claim = serializers.CharField(help_text="领取密钥用的凭证,只显示这一次。")


class ClaimSerializer(serializers.Serializer[Any]):
    environment = serializers.ChoiceField(choices=ApiClient.Environment.choices)


class CredentialsSerializer(serializers.Serializer[Any]):
    client_id = serializers.CharField()
    client_secret = serializers.CharField(help_text="只显示这一次。")
    environment = serializers.ChoiceField(choices=ApiClient.Environment.choices)
    scopes = serializers.ListField(child=serializers.CharField())
    signing_secret = serializers.CharField(help_text="签事件用,只显示这一次;领正式账号时为空,沿用联调时的。")


class RotationSerializer(Exact):
    kind = serializers.ChoiceField(choices=[("client", "接口密钥"), ("events", "事件签名密钥")])
    overlap_s = Whole(min_value=0, max_value=access.LONGEST_OVERLAP_S, required=False, default=access.OVERLAP_S)


class NewSecretSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    secret = serializers.CharField(help_text="只显示这一次。")
    old_until = serializers.DateTimeField(help_text="旧密钥用到这时为止。")


def _shown(found: Application) -> dict[str, Any]:
    return {"hospital_id": found.hospital_id, "code": found.code, "state": found.state}


def _claim(request: Request) -> str:
    scheme, _space, claim = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not claim:
        raise Unauthenticated
    return claim.strip()


class ApplicationsView(OpenView):
    """Apply to join. Open to everybody, a few times an hour from one address."""

    limited = True

    @extend_schema(
        operation_id="application_create",
        tags=["onboarding"],
        request=ApplicationRequestSerializer,
        responses={201: AppliedSerializer},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        self.hold(limits.APPLICATIONS, caller_address(request))
        given = ApplicationRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        facts = given.validated_data
        found = onboarding.apply(**{**facts, "contact": Contact(**facts["contact"])})
        return Response({**_shown(found), "claim": found.claim}, status=status.HTTP_201_CREATED)


class ApplicationView(OpenView):
    """Where an application stands."""

    @extend_schema(
        operation_id="application_read",
        tags=["onboarding"],
        responses=ApplicationSerializer,
        auth=[{"claim": []}],
    )
    def get(self, request: Request, hospital_id: UUID) -> Response:
        return Response(_shown(onboarding.applicant(hospital_id, _claim(request))))


class CredentialsView(OpenView):
    """Fetch the credentials of an environment, once: the sandbox's after verification, the live ones after going live."""

    @extend_schema(
        operation_id="credentials_claim",
        tags=["onboarding"],
        request=ClaimSerializer,
        responses={201: CredentialsSerializer},
        auth=[{"claim": []}],
    )
    def post(self, request: Request, hospital_id: UUID) -> Response:
        found = onboarding.applicant(hospital_id, _claim(request))
        given = ClaimSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        got = onboarding.claim_credentials(
            hospital_id=found.hospital_id, environment=given.validated_data["environment"]
        )
        body = {
            "client_id": got.client.client_id,
            "client_secret": got.client.client_secret,
            "environment": got.client.environment,
            "scopes": got.client.scopes,
            "signing_secret": got.signing_secret,
        }
        return Response(body, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})


class RotationView(HospitalView):
    """A new secret in place of an old one, which holds a while longer."""

    needs = {"POST": "credentials:rotate"}
    once = False

    @extend_schema(
        operation_id="credentials_rotate",
        tags=["credentials"],
        request=RotationSerializer,
        responses={201: NewSecretSerializer},
    )
    def post(self, request: Request) -> Response:
        given = RotationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        kind, overlap_s = given.validated_data["kind"], given.validated_data["overlap_s"]
        if kind == "client":
            made = access.rotate_client_secret(client_id=self.who.client_id, overlap_s=overlap_s, actor=self.actor)
        else:
            made = access.rotate_signing_secret(
                hospital_id=self.who.hospital_id,
                environment=self.who.environment,
                overlap_s=overlap_s,
                actor=self.actor,
            )
        body = {"kind": kind, "secret": made.secret, "old_until": made.old_until}
        return Response(body, status=status.HTTP_201_CREATED)
