"""Trying it out before going live: test appointments, and conformance runs with their reports."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals.api.base import IDEMPOTENCY_KEY, HospitalView
from hospitals.api.fields import Exact, Text
from hospitals.models import ConformanceRun
from hospitals.services import conformance, rehearsal
from hospitals.services.rehearsal import TestAppointment
from hospitals.services.rows import IDENTIFIER

RUN = "conformance:run"
TAGS = ["trials"]
LIMIT_MAX = 200


class TestAppointmentRequestSerializer(Exact):
    slot = Text(IDENTIFIER, required=False, default="", help_text="号源编号;不写就用最近的空号。")


class ReceivedEventSerializer(serializers.Serializer[Any]):
    event_id = serializers.CharField()
    type = serializers.CharField()
    sequence = serializers.IntegerField()
    state = serializers.CharField(help_text="received 收到,done 已处理,dead 用不上")


class TestAppointmentSerializer(serializers.Serializer[Any]):
    appointment_id = serializers.UUIDField()
    slot = serializers.CharField()
    start = serializers.DateTimeField()
    state = serializers.CharField(help_text="预约现在的状态,例如 pending、booked、checked_in")
    events = ReceivedEventSerializer(many=True)


class PointSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    passed = serializers.BooleanField(allow_null=True, help_text="null:还没有结果")
    detail = serializers.CharField()
    mend = serializers.CharField(help_text="没有通过时怎么改")


class ConformanceRunsQuerySerializer(serializers.Serializer[Any]):
    cursor = serializers.UUIDField(required=False, help_text="上一页给的 cursor;第一页不写。")
    limit = serializers.IntegerField(min_value=1, max_value=LIMIT_MAX, required=False, default=20)


class ConformanceSummarySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    connector = serializers.CharField()
    passed = serializers.BooleanField(allow_null=True, help_text="null:还在进行")
    looking = serializers.BooleanField(help_text="true:正在发命令,过几秒再读")
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    appointment_id = serializers.UUIDField(help_text="主线的测试预约:请在本院测试系统里把它办完。")


class ConformanceRunSerializer(ConformanceSummarySerializer):
    points = PointSerializer(many=True)


class ConformancePageSerializer(serializers.Serializer[Any]):
    items = ConformanceSummarySerializer(many=True)
    cursor = serializers.UUIDField(allow_null=True)
    more = serializers.BooleanField()


def _appointment(found: TestAppointment) -> dict[str, Any]:
    return {
        "appointment_id": found.appointment_id,
        "slot": found.slot,
        "start": found.start,
        "state": found.state,
        "events": found.events,
    }


def _summary(run: ConformanceRun) -> dict[str, Any]:
    told = {name: getattr(run, name) for name in ("id", "connector", "passed", "started_at", "finished_at")}
    return told | {"appointment_id": run.record["visit"], "looking": conformance.looking(run)}


def _run(run: ConformanceRun) -> dict[str, Any]:
    return _summary(run) | {"points": run.points}


def _asked(run: ConformanceRun) -> Response:
    """A worker does it: the report is to be read at ``Location``."""
    place = reverse("hospital-conformance-run", args=[run.id])
    return Response(_run(run), status=status.HTTP_202_ACCEPTED, headers={"Location": place})


class TestAppointmentsView(HospitalView):
    """An appointment of an invented patient, on which the hospital tries its events. Not in a live hospital."""

    needs = {"POST": RUN}

    @extend_schema(
        operation_id="test_appointment_create",
        tags=TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=TestAppointmentRequestSerializer,
        responses={201: TestAppointmentSerializer},
    )
    def post(self, request: Request) -> Response:
        given = TestAppointmentRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)

        def work() -> Response:
            found = rehearsal.create(
                hospital_id=self.who.hospital_id, slot=given.validated_data["slot"], actor=self.actor
            )
            return Response(_appointment(found), status=status.HTTP_201_CREATED)

        return self.do_once(request, work)


class TestAppointmentView(HospitalView):
    """What has come for a test appointment, and what it made of it; ended, its place is free again."""

    needs = {"GET": RUN, "DELETE": RUN}

    @extend_schema(operation_id="test_appointment_read", tags=TAGS, responses=TestAppointmentSerializer)
    def get(self, request: Request, appointment_id: UUID) -> Response:
        return Response(_appointment(rehearsal.read(appointment_id=appointment_id)))

    @extend_schema(operation_id="test_appointment_end", tags=TAGS, responses={204: None})
    def delete(self, request: Request, appointment_id: UUID) -> Response:
        rehearsal.end(appointment_id=appointment_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ConformanceRunsView(HospitalView):
    """Scripted visits through the hospital's connector, the newest first; begin one. Only a full pass may go live."""

    needs = {"GET": RUN, "POST": RUN}

    @extend_schema(
        operation_id="conformance_list",
        tags=TAGS,
        parameters=[ConformanceRunsQuerySerializer],
        responses=ConformancePageSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = ConformanceRunsQuerySerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        found = conformance.page(**asked.validated_data)
        items = [_summary(run) for run in found.rows]
        return Response({"items": items, "cursor": found.cursor, "more": found.more})

    @extend_schema(
        operation_id="conformance_start",
        tags=TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={202: ConformanceRunSerializer},
    )
    def post(self, request: Request) -> Response:
        @transaction.atomic  # where no worker can be asked nothing is begun
        def work() -> Response:
            run = conformance.start(hospital_id=self.who.hospital_id, actor=self.actor)
            return _asked(conformance.ask(hospital_id=self.who.hospital_id, run_id=run.id, actor=self.actor))

        return self.do_once(request, work)


class ConformanceRunView(HospitalView):
    """The report, point by point, with what to mend."""

    needs = {"GET": RUN}

    @extend_schema(operation_id="conformance_read", tags=TAGS, responses=ConformanceRunSerializer)
    def get(self, request: Request, run_id: UUID) -> Response:
        return Response(_run(conformance.read(hospital_id=self.who.hospital_id, run_id=run_id)))


class ConformanceLookView(HospitalView):
    """Look again: a worker sends the commands whose turn has come, and judges what has arrived."""

    needs = {"POST": RUN}
    once = False

    @extend_schema(operation_id="conformance_look", tags=TAGS, request=None, responses={202: ConformanceRunSerializer})
    def post(self, request: Request, run_id: UUID) -> Response:
        return _asked(conformance.ask(hospital_id=self.who.hospital_id, run_id=run_id, actor=self.actor))


class ConformanceAbortView(HospitalView):
    """End a run now: what is not decided has failed, and its places are free again."""

    needs = {"POST": RUN}
    once = False

    @extend_schema(operation_id="conformance_abort", tags=TAGS, request=None, responses=ConformanceRunSerializer)
    def post(self, request: Request, run_id: UUID) -> Response:
        return Response(_run(conformance.abort(hospital_id=self.who.hospital_id, run_id=run_id, actor=self.actor)))
