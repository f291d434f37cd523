"""Start the service on a chain of its own, which tells the story: `make demo`."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from examples.demo.story import LEDGER_SECONDS, script
from tests.support.fake_rpc import Chain, Provider, serve

NETWORK: Final = "Demo network of fluxora-streams"
BEFORE: Final = 30 * 60
AFTER: Final = 6 * 3600


def main() -> int:
    """Run until the service ends, or somebody ends us."""
    told = script(int(time.time()), before=BEFORE, after=AFTER, passphrase=NETWORK)
    chain = Chain(told, told["head"], LEDGER_SECONDS, told["last"] - told["first"], 0)
    node = Provider(chain, shape="v28", lag=0, faults="", seed=1, passphrase=None, scan=10_000, limits=(100, 10_000))
    rpc = serve(0, node)
    with tempfile.TemporaryDirectory(prefix="fluxora-demo-") as folder:
        environment = {
            "DATABASE_URL": f"sqlite:///{folder}/demo.db",
            **os.environ,
            "CHAIN_CONTRACTS": f"{told['contract']}:{told['decimals']}:{told['token']}@{told['first']}",
            "CHAIN_PASSPHRASE": NETWORK,
            "CHAIN_RPC_URLS": f"http://127.0.0.1:{rpc.server_port}",
        }
        run = [sys.executable, "-m", "app"]
        root = Path(__file__).parents[2]
        subprocess.run([*run, "migrate"], env=environment, cwd=root, check=True)  # noqa: S603 - our own command
        service = subprocess.Popen(run, env=environment, cwd=root)  # noqa: S603 - our own command
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: service.send_signal(signal.SIGTERM))
        return service.wait()


if __name__ == "__main__":
    sys.exit(main())
