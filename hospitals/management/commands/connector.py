"""Tries a hospital's connection step by step, so that its engineer sees what works; writes nothing there."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospitals.connectors.fhir import FhirConnector
from hospitals.connectors.hl7v2 import Hl7v2Connector
from hospitals.exceptions import ConnectorUnavailable
from hospitals.models import Hospital
from hospitals.services import connecting


class Command(BaseCommand):
    help = "逐项试一试与医院的连接,不写入任何内容。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="COMPANION_CONNECTORS_FILE 里的名字")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        try:
            found = connecting.connector(Hospital(connector=name))
        except ConnectorUnavailable as error:
            why = next((reason for fault, _code, reason in connecting.faults() if fault in (name, "")), "")
            raise CommandError(f"{name}:{error.code} {why}".rstrip()) from error
        if not isinstance(found, FhirConnector | Hl7v2Connector):
            raise CommandError(f"{name} 不是 FHIR 或 HL7 v2 连接。")
        failed = 0
        for step, code in found.probe():
            failed += bool(code)
            self.stdout.write(f"{'×' if code else '√'} {step} {code}".rstrip())
        if failed:
            raise CommandError(f"{failed} 项没有通过。")
