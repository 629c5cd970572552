"""Master keys from an environment variable, as an orchestrator's secret store hands them over."""

import os

from hospitals.exceptions import KeyServiceUnavailable
from hospitals.keys.base import HeldKeyService, parse_masters


class EnvironmentKeyService(HeldKeyService):
    """``variable`` holds ``id:hex`` entries, newest first, separated by commas."""

    def __init__(self, variable: str = "COMPANION_MASTER_KEYS") -> None:
        text = os.environ.get(variable, "")
        if not text:
            raise KeyServiceUnavailable(f"环境变量 {variable} 没有设置。")
        super().__init__(parse_masters(text))
