"""Master keys in a file readable by its owner only; generated on first use where that is allowed. For the demo and small installations."""

import os
import secrets
import stat
import tempfile
from pathlib import Path

from hospitals.exceptions import KeyServiceUnavailable
from hospitals.keys.base import MASTER_KEY_BYTES, HeldKeyService, parse_masters


class FileKeyService(HeldKeyService):
    """``id:hex`` a line, newest first. With ``create=False`` a missing file is an error instead of a new key."""

    def __init__(self, path: str, create: bool = True) -> None:
        file = Path(path)
        try:
            if not file.exists():
                if not create:
                    raise KeyServiceUnavailable("找不到主密钥文件。")
                _generate(file)
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                raise KeyServiceUnavailable("主密钥文件的权限过宽,应当只有属主可读(chmod 600)。")
            text = file.read_text(encoding="ascii")
        except OSError as error:
            raise KeyServiceUnavailable("读不到主密钥文件。") from error
        super().__init__(parse_masters(text))


def new_master() -> str:
    """One fresh ``id:hex`` entry, to be put before the others."""
    return f"m{secrets.token_hex(4)}:{secrets.token_hex(MASTER_KEY_BYTES)}"


def _generate(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent)  # made with mode 600
    with os.fdopen(handle, "w") as temporary:
        temporary.write(new_master() + "\n")
        temporary.flush()
        os.fsync(temporary.fileno())
    try:
        os.link(name, file)  # atomic: of several processes that start at once, the first one's key stands
    except FileExistsError:
        pass
    finally:
        os.unlink(name)
