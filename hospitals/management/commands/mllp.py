"""Listens for hospitals that send HL7 v2 over MLLP."""

import asyncio
import contextlib
import signal
import ssl
from typing import Any

from asgiref.sync import sync_to_async
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from hospitals.checks import SERVING
from hospitals.connectors.hl7v2.listener import Listener
from hospitals.services import hl7_door

HL7_PORT = 2575  # IANA's registered port for HL7


def _admit(address: str) -> tuple[hl7_door.Peer, ...] | None:
    close_old_connections()
    return hl7_door.admit(address) or None


def _take(peers: tuple[hl7_door.Peer, ...], raw: bytes) -> bytes:
    close_old_connections()
    return hl7_door.take(peers, raw)


def listener() -> Listener[tuple[hl7_door.Peer, ...]]:
    """The door, its work done in threads beside the loop."""
    return Listener(
        sync_to_async(_admit, thread_sensitive=False),
        sync_to_async(_take, thread_sensitive=False),
    )


class Command(BaseCommand):
    help = "接收医院通过 MLLP 发来的 HL7 v2 消息。"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=HL7_PORT)
        parser.add_argument("--cert", default="", help="证书文件(PEM)")
        parser.add_argument("--key", default="", help="私钥文件(PEM)")
        parser.add_argument("--client-ca", default="", help="给出后,医院必须出示由它签发的证书")
        parser.add_argument("--plain", action="store_true", help="不用 TLS,只用于专线内")

    def handle(self, *args: Any, **options: Any) -> None:
        self.check(tags=[SERVING], include_deployment_checks=True, databases=["default"])
        if not options["plain"] and not options["cert"]:
            raise CommandError("请给出 --cert 和 --key;确实在专线内且不用 TLS 时,请写明 --plain。")
        tls: ssl.SSLContext | None = None
        if not options["plain"]:
            tls = self._tls(options["cert"], options["key"], options["client_ca"])
        try:
            asyncio.run(self._serve(options["host"], options["port"], tls))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise CommandError(f"不能在这个地址和端口接收({why}):请检查 --host 和 --port。") from error
        except KeyboardInterrupt:
            self.stdout.write("已停止。")

    @staticmethod
    def _tls(cert: str, key: str, client_ca: str) -> ssl.SSLContext:
        try:
            made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca or None)
            made.load_cert_chain(cert, key or None, password="")  # never asked for at a terminal that nobody watches
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise CommandError(
                f"证书或私钥读不出来({type(error).__name__}):--cert、--key、--client-ca 要写 PEM 文件,私钥不设密码。"
            ) from error
        if client_ca:
            made.verify_mode = ssl.CERT_REQUIRED
        return made

    async def _serve(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        door = listener()
        chosen = await door.start(host, port, tls)
        self.stdout.write(f"正在 {host}:{chosen} 接收 HL7 v2 消息{'' if tls else '(没有 TLS)'}。")
        serving = asyncio.ensure_future(door.serve_forever())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        finally:
            await door.stop()
