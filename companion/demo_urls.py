"""The demo's hospital clock, for the panel beside the page. Only in demo mode."""

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from companion import visits
from companion.api import ResidentView, bearer
from companion.exceptions import NotFound
from companion.models import Visit
from hospitals.connectors.sandbox import desk


class StepSerializer(serializers.Serializer[Any]):
    step = serializers.ChoiceField(choices=desk.STEPS)


class AdvanceView(ResidentView):
    """Let the sandbox hospital do one thing in the visit that the resident has under way."""

    @extend_schema(request=StepSerializer, responses={202: None})
    def post(self, request: Request) -> Response:
        signed_in = bearer(request)
        given = StepSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        patients = Visit.objects.filter(resident_id=signed_in.resident_id).order_by("-changed_at").values("patient_id")
        visit = visits.current(patients[0]["patient_id"]) if patients else None
        if visit is None:
            raise NotFound("还没有就诊。请先挂号。")
        desk.advance(visit.id, given.validated_data["step"])
        return Response(status=202)


urlpatterns = [path("advance/", AdvanceView.as_view(), name="demo-advance")]
