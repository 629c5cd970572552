"""``make bench``: run every benchmark, print one JSON object a line: {"name", "value", "unit"}.

Each benchmark module has ``figures() -> Iterator[dict]``. Name some to run only those: python -m benchmarks turns triage.
"""

import importlib
import json
import os
import pkgutil
import sys
import time

import benchmarks


def main() -> int:
    wanted = set(sys.argv[1:])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    failed = 0
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("_") or (wanted and module.name not in wanted):
            continue
        started = time.monotonic()
        print(f"# {module.name}", file=sys.stderr)
        try:
            for figure in importlib.import_module(f"benchmarks.{module.name}").figures():
                print(json.dumps(figure, ensure_ascii=False), flush=True)
        except Exception as error:  # noqa: BLE001  one broken benchmark must not hide the others' figures
            failed += 1
            print(f"# {module.name} failed: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"# {module.name} took {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
