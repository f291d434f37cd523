"""`python -m app` that, on SIGUSR1, tells what only the collector of cyclic garbage finds: a line of JSON, by type."""

import gc
import json
import runpy
import signal
import sys
from collections import Counter
from typing import Any


def tell(*_: Any) -> None:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    found = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    gc.set_debug(0)
    gc.garbage.clear()
    gc.collect()
    print(json.dumps({"event": "garbage", "found": found}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    sys.argv = ["app"]
    runpy.run_module("app", run_name="__main__")
