"""Each key service as an operator has it: how it is set up, how a new master key is made, how the old one and all of it go."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest
from django.core.management import call_command
from django.utils.module_loading import import_string

from hospitals.keys.base import KeyService
from hospitals.keys.file import new_master
from tests.hospitals.transit_stub import TransitStub

SOFTHSM = next((p for p in Path("/usr/lib").glob("**/libsofthsm2.so")), None)
PIN = "271828"


class Kind(Protocol):
    settings: dict[str, Any]

    def new_master(self) -> None: ...
    def drop_old_masters(self) -> None: ...
    def break_down(self) -> None: ...
    def close(self) -> None: ...


def service(kind: Kind) -> KeyService:
    """As a process that starts now has it."""
    made: KeyService = import_string(kind.settings["BACKEND"])(**kind.settings["OPTIONS"])
    return made


class InFile:
    def __init__(self, folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "master.key"
        options = {"path": str(self.path), "create": False}
        self.settings = {"BACKEND": "hospitals.keys.file.FileKeyService", "OPTIONS": options}
        self._write([new_master()])

    def _write(self, lines: list[str]) -> None:
        self.path.write_text("\n".join(lines) + "\n")
        self.path.chmod(0o600)

    def new_master(self) -> None:
        self._write([new_master(), *self.path.read_text().split()])

    def drop_old_masters(self) -> None:
        self._write(self.path.read_text().split()[:1])

    def break_down(self) -> None:
        self.path.unlink()

    def close(self) -> None:
        """Nothing runs."""


class InEnvironment:
    def __init__(self, _folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.lines = monkeypatch, [new_master()]
        options = {"variable": "KEYS_OF_THIS_TEST"}
        self.settings = {"BACKEND": "hospitals.keys.environment.EnvironmentKeyService", "OPTIONS": options}
        self._write()

    def _write(self) -> None:
        self.monkeypatch.setenv("KEYS_OF_THIS_TEST", ",".join(self.lines))

    def new_master(self) -> None:
        self.lines.insert(0, new_master())
        self._write()

    def drop_old_masters(self) -> None:
        del self.lines[1:]
        self._write()

    def break_down(self) -> None:
        self.monkeypatch.delenv("KEYS_OF_THIS_TEST")

    def close(self) -> None:
        """Nothing runs."""


class InToken:
    """A token of SoftHSM's, of this test alone."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tool = shutil.which("softhsm2-util")
        if SOFTHSM is None or tool is None:
            pytest.skip("no SoftHSM here (the system's package softhsm2)")
        self.tokens, conf, pin = folder / "tokens", folder / "softhsm2.conf", folder / "pin"
        self.tokens.mkdir()
        conf.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        pin.write_text(f"{PIN}\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
        command = [tool, "--init-token", "--free", "--label", "companion", "--so-pin", "314159", "--pin", PIN]
        subprocess.run(command, check=True, capture_output=True, env=os.environ)
        options = {"module": str(SOFTHSM), "token": "companion", "pin_file": str(pin)}
        self.settings = {"BACKEND": "hospitals.keys.pkcs11.Pkcs11KeyService", "OPTIONS": options}
        self.reset()
        self.new_master()

    def reset(self) -> None:
        """The module forgets every session, as when the token was reset; and reads where its tokens are anew."""
        import pkcs11

        pkcs11.lib(str(SOFTHSM)).reinitialize()

    def new_master(self) -> None:
        from django.test import override_settings

        with override_settings(KEY_SERVICE=self.settings):
            call_command("new_master_key", in_token=True, verbosity=0)

    def drop_old_masters(self) -> None:
        import pkcs11

        self.reset()
        token = pkcs11.lib(str(SOFTHSM)).get_token(token_label="companion")
        with token.open(rw=True, user_pin=PIN) as session:
            keys = list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}))
            newest = max(key.id for key in keys)
            for key in keys:
                if key.id != newest:
                    key.destroy()

    def break_down(self) -> None:
        shutil.rmtree(self.tokens)
        self.tokens.mkdir()
        self.reset()

    def close(self) -> None:
        self.reset()


class BehindTransit:
    def __init__(self, folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
        self.stub = TransitStub()
        (folder / "token").write_text("s.first\n")
        options = {"url": self.stub.url, "token_file": str(folder / "token"), "sleep": lambda _seconds: None}
        self.settings = {"BACKEND": "hospitals.keys.transit.TransitKeyService", "OPTIONS": options}

    def new_master(self) -> None:
        self.stub.rotate()

    def drop_old_masters(self) -> None:
        self.stub.oldest = max(self.stub.keys)

    def break_down(self) -> None:
        self.stub.close()

    def close(self) -> None:
        self.stub.close()


KINDS = {"file": InFile, "environment": InEnvironment, "pkcs11": InToken, "transit": BehindTransit}
