"""Post chain events: `FLUXORA_KEY=... python examples/indexer.py http://127.0.0.1:8000 < events.jsonl`.

Each line is one chain event. They go in batches, in order, and each batch is sent until it is answered: an event
counts once, however often it comes, by its `transactionHash` and `eventIndex`.
"""

import json
import os
import random
import sys
import time
from itertools import islice
from typing import Any

import httpx

BATCH = 1000
TRY_AGAIN = {408, 429, 500, 502, 503, 504}


def post(http: httpx.Client, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Send a batch until it is answered; a commit whose answer got lost is no harm."""
    wait = 0.5
    while True:
        try:
            answer = http.post("/api/events", json={"events": events})
        except httpx.TransportError as error:
            print("again soon:", error or type(error).__name__, file=sys.stderr, flush=True)
        else:
            if answer.status_code not in TRY_AGAIN:
                # A 400 names the event that is malformed; sending it again would not help.
                if answer.is_client_error:
                    sys.exit(answer.text)
                return answer.json()
        time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311
        wait = min(wait * 2, 30)


def main(base: str) -> None:
    """Post what comes on standard input, and tell what became of it."""
    headers = {"Authorization": f"Bearer {os.environ['FLUXORA_KEY']}"}
    with httpx.Client(base_url=base, headers=headers, timeout=30) as http:
        events = (json.loads(line) for line in sys.stdin if line.strip())
        while batch := list(islice(events, BATCH)):
            answer = post(http, batch)
            print(*(f"{answer[count]} {count}" for count in ("accepted", "ignored", "rejected")), flush=True)
            for result in answer["results"]:
                if result["action"] == "rejected":
                    print(result["eventId"], result["error"], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
