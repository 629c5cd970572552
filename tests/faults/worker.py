"""What a default worker does with hospitals' rows, in a process that may be killed: deliver, hand on, again. Times are shortened."""

import json
import os
import sys
import time


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "companion.settings")
    import django
    from django.conf import settings

    django.setup()
    from hospitals.connectors import webhook
    from hospitals.services import circuit, inbox, outbox

    settings.HOSPITALS_CONNECTORS = json.loads(sys.argv[1])
    webhook.READ_S = 0.5
    outbox.CLAIM_S, outbox.FIRST_RETRY_S, outbox.LONGEST_RETRY_S = 3, 0.1, 0.5
    circuit.FIRST_REST_S, circuit.LONGEST_REST_S = 0.2, 0.5
    print("ready", flush=True)
    while True:
        try:
            outbox.sweep()
            inbox.sweep(after_s=0)
        except django.db.Error:  # its connection was ended: the next round has a new one
            django.db.connection.close()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
