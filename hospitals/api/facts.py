"""What a hospital has one of: its facts and rules, its lexicon, its indoor map; and a practitioner's fee."""

from typing import Any

from django.db import transaction
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals import audit
from hospitals.api.applications import PLAIN
from hospitals.api.base import IDEMPOTENCY_KEY, IF_MATCH, HospitalView
from hospitals.api.bodies import MAP_SCHEMA
from hospitals.api.directory import READ, WRITE, checked_identifier
from hospitals.api.fields import Exact, Flag, Text, Whole
from hospitals.api.parsers import JSONParser
from hospitals.models import Hospital, IndoorMap
from hospitals.services import door_codes, feed, maps, names, profile, upsert

TAGS = ["directory"]
DOOR_CODES_MOST = 400
_SMALL: dict[str, Any] = {"min_value": 0, "max_value": 10_000}


def _optional(longest: int, pattern: str = r"^[^\x00-\x1f\x7f]*$") -> serializers.CharField:
    return Text(pattern, max_length=longest, allow_blank=True)


class ProfileChangeSerializer(Exact):
    nicknames = serializers.ListField(
        child=Text(PLAIN, min_length=2, max_length=12), help_text=f"最多 {names.NICKNAMES} 个"
    )
    address = _optional(200)
    phone = _optional(30, r"^[0-9 -]*$")
    has_emergency = Flag()
    opening_hours = _optional(100)
    missed_call_rule = _optional(200)
    requeue_after = Whole(**_SMALL)
    cancel_until_min = Whole(**_SMALL)
    check_in_opens_min = Whole(**_SMALL, allow_null=True)
    no_show_limit = Whole(**_SMALL)
    no_show_days = Whole(**_SMALL)
    hold_min = Whole(min_value=1, max_value=120)
    avatar = Text(r"^[a-z0-9][a-z0-9_-]*$", max_length=40, help_text="形象;本平台没有装的,由省里的代替")
    voice = _optional(60, r"^[A-Za-z0-9_.-]*$")
    # The commission's: a profile that was read may be written back with them, and they stay as they are.
    code = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    city = serializers.CharField(read_only=True)
    level = serializers.CharField(read_only=True)
    state: serializers.Field[Any, Any, Any, Any] = serializers.CharField(read_only=True)


class ProfileSerializer(ProfileChangeSerializer):
    voice = serializers.CharField()
    level = serializers.CharField()
    address = serializers.CharField()
    phone = serializers.CharField()
    opening_hours = serializers.CharField()
    missed_call_rule = serializers.CharField()
    code = serializers.CharField()
    name = serializers.CharField()
    city = serializers.CharField()
    state = serializers.ChoiceField(choices=Hospital.State.choices)


class PronunciationSerializer(serializers.Serializer[Any]):
    written = Text(PLAIN, max_length=40)
    spoken = Text(PLAIN, max_length=120, help_text="拼音,带声调,例如 lán zhōu")


class LexiconSerializer(serializers.Serializer[Any]):
    entries = PronunciationSerializer(many=True)


class FeeSerializer(serializers.Serializer[Any]):
    fee_fen = Whole(min_value=0, max_value=10_000_000, help_text="诊查费,单位分")


class FeeChangedSerializer(serializers.Serializer[Any]):
    slots_changed = serializers.IntegerField()


class MapVersionSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField()


def _tagged(told: Any, code: int = status.HTTP_200_OK) -> Response:
    return Response(told, status=code, headers={"ETag": feed.tag(told)})


class ProfileView(HospitalView):
    """The hospital itself; its rules decide how booking, check-in and missed calls go."""

    needs = {"GET": READ, "PATCH": WRITE}
    tagged = ("GET", "PATCH")

    @extend_schema(operation_id="hospital_read", tags=TAGS, responses=ProfileSerializer)
    def get(self, request: Request) -> Response:
        return _tagged(profile.read(self.who.hospital_id))

    @extend_schema(
        operation_id="hospital_change",
        tags=TAGS,
        parameters=[IF_MATCH, IDEMPOTENCY_KEY],
        request=ProfileChangeSerializer(partial=True),
        responses=ProfileSerializer,
    )
    def patch(self, request: Request) -> Response:
        given = ProfileChangeSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)

        def work() -> Response:
            told = profile.change(
                hospital_id=self.who.hospital_id,
                facts=given.validated_data,
                if_match=request.headers.get("If-Match", ""),
                actor=self.actor,
            )
            return _tagged(told)

        return self.do_once(request, work)


class LexiconView(HospitalView):
    """How the hospital's own words are pronounced; replaced as a whole."""

    needs = {"GET": READ, "PUT": WRITE}
    tagged = ("GET", "PUT")

    @extend_schema(operation_id="lexicon_read", tags=TAGS, responses=LexiconSerializer)
    def get(self, request: Request) -> Response:
        entries = profile.read_lexicon(self.who.hospital_id)
        return Response({"entries": entries}, headers={"ETag": feed.tag(entries)})

    @extend_schema(
        operation_id="lexicon_write",
        tags=TAGS,
        parameters=[IF_MATCH, IDEMPOTENCY_KEY],
        request=LexiconSerializer,
        responses=LexiconSerializer,
    )
    def put(self, request: Request) -> Response:
        given = LexiconSerializer(data=request.data)
        given.is_valid(raise_exception=True)

        def work() -> Response:
            entries = profile.write_lexicon(
                hospital_id=self.who.hospital_id,
                entries=given.validated_data["entries"],
                if_match=request.headers.get("If-Match", ""),
                actor=self.actor,
            )
            return Response({"entries": entries}, headers={"ETag": feed.tag(entries)})

        return self.do_once(request, work)


class GeoJSONParser(JSONParser):
    """RFC 7946."""

    media_type = "application/geo+json"


class MapView(HospitalView):
    """The indoor map as GeoJSON; a map with faults is refused with all of them."""

    parser_classes = [JSONParser, GeoJSONParser]
    needs = {"GET": READ, "PUT": WRITE}
    tagged = ("GET", "PUT")
    bodied = ("PUT",)

    @extend_schema(operation_id="map_read", tags=TAGS, responses={200: MAP_SCHEMA})
    def get(self, request: Request) -> Response:
        row = IndoorMap.objects.filter(hospital_id=self.who.hospital_id).first()
        told = row.geojson if row else {"type": "FeatureCollection", "features": []}
        return Response(told, headers={"ETag": feed.tag(row.version if row else 0)})

    @extend_schema(
        operation_id="map_write",
        tags=TAGS,
        parameters=[IF_MATCH, IDEMPOTENCY_KEY],
        request={parser.media_type: MAP_SCHEMA for parser in (JSONParser, GeoJSONParser)},
        responses=MapVersionSerializer,
    )
    def put(self, request: Request) -> Response:
        geojson = request.data
        if not isinstance(geojson, dict):
            raise ParseError
        return self.do_once(request, lambda: self._upload(request, geojson))

    @transaction.atomic
    def _upload(self, request: Request, geojson: dict[str, Any]) -> Response:
        upsert.lock(self.who.hospital_id)
        row = IndoorMap.objects.filter(hospital_id=self.who.hospital_id).first()
        feed.check_tag(row.version if row else 0, request.headers.get("If-Match", ""))
        version = maps.upload(hospital_id=self.who.hospital_id, geojson=geojson)
        audit.record(
            "directory.map", actor=self.actor, hospital_id=self.who.hospital_id, entity="map", entity_id=f"v{version}"
        )
        return Response({"version": version}, headers={"ETag": feed.tag(version)})


class DoorCodesView(HospitalView):
    """A code for each door, as an HTML page to print; at most 400 a call."""

    needs = {"GET": READ}

    @extend_schema(
        operation_id="door_codes",
        tags=TAGS,
        parameters=[OpenApiParameter("building", OpenApiTypes.STR, description="只要这一栋楼的")],
        responses={(200, "text/html"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponse:
        building = request.query_params.get("building")
        page = door_codes.sheet(hospital_id=self.who.hospital_id, building=building, most=DOOR_CODES_MOST)
        return HttpResponse(page, headers={"Content-Disposition": 'attachment; filename="doors.html"'})


class FeeView(HospitalView):
    """The fee of all of a practitioner's coming slots at once."""

    needs = {"PUT": WRITE}

    @extend_schema(
        operation_id="fee_write",
        tags=TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=FeeSerializer,
        responses=FeeChangedSerializer,
    )
    def put(self, request: Request, identifier: str) -> Response:
        checked_identifier(identifier)
        given = FeeSerializer(data=request.data)
        given.is_valid(raise_exception=True)

        @transaction.atomic
        def work() -> Response:
            changed = upsert.set_fee(
                hospital_id=self.who.hospital_id, practitioner=identifier, fee_fen=given.validated_data["fee_fen"]
            )
            if changed:
                audit.record(
                    "directory.fee",
                    actor=self.actor,
                    hospital_id=self.who.hospital_id,
                    entity="practitioners",
                    entity_id=identifier,
                )
            return Response({"slots_changed": changed})

        return self.do_once(request, work)
