"""The settings as production reads them, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "companion.settings",
    "COMPANION_MODE": "production",
    "SECRET_KEY": "0123456789" * 6,
    "COMPANION_PUBLIC_URL": "https://companion.example.org",
    "COMPANION_ALLOWED_HOSTS": "companion.example.org",
    "COMPANION_IDENTITY": "alipay",
}


def as_production(expression: str) -> Any:
    """What this expression gives there; ``settings`` is at hand."""
    program = f"import django, json; django.setup(); from django.conf import settings; print(json.dumps({expression}))"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **PRODUCTION, "COMPANION_DATA_DIR": folder}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=True
        )
    return json.loads(done.stdout)
