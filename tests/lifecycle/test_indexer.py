"""The service reads the chain itself: real processes, real sockets, nodes with faults, both transports."""

import asyncio
import json
import signal
import subprocess
import sys
import threading

import pytest
from pydantic import ValidationError
from stellar_sdk import Address, scval, xdr

from app.chain.item import parse, read
from app.chain.ledger_entry import key_of
from app.core.contract.batch import Folded, fold_all
from app.core.contract.seen import Seen
from app.core.contract.view import view
from app.settings import Settings
from tests.conftest import api_of
from tests.support.chain import contract_of, load, raw_item
from tests.support.chain_api import configured
from tests.support.feeds import follow
from tests.support.polled import nodes_of
from tests.support.server import environment, run_app, until

EIGHT = "http429=0.1:0.05,http503=0.1,reset=0.1,cut=0.1,rpc32001=0.1,stale=0.2:5,dup=0.3:3,short=0.3"
DENSE = load("script_dense")
FIRST = 3_700_000
URL = "https://user:pass@node.example/secret"


def folded(script) -> Folded:
    contract = contract_of(script, hints=False)
    seen = [read(parse(raw_item(row)), {script["contract"]}, frozenset()) for row in own_rows(script)]
    return fold_all({contract.contract_id: contract}, {}, seen)


def own_rows(script) -> list[dict]:
    return [row for row in script["events"] if row["contract"] == script["contract"]]


def told(script) -> list[tuple[str, int, str]]:
    """What a feed must tell of a script: transaction, index and cause, in the chain's order."""
    return [
        (outcome.chain["transactionHash"], outcome.chain["eventIndex"], outcome.cause)
        for _, step in folded(script).steps
        for outcome in step.outcomes
    ]


def got(client) -> list[tuple[str, int, str]]:
    return [(each["chain"]["transactionHash"], each["chain"]["eventIndex"], each["cause"]) for each in client.events]


def reading(nodes, **more) -> dict[str, object]:
    return {
        "chain_contracts": f"{nodes.contract}:{nodes.script['decimals']}@{FIRST}",
        "chain_rpc_urls": ",".join(nodes.urls),
        "chain_passphrase": nodes.passphrase,
        **more,
    }


class Index:
    """`python -m app index`, in a process of its own."""

    def __init__(self, server, settings) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "index"],
            cwd=server.cwd,
            env=environment({**server.settings, **settings}),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.reading = threading.Thread(target=self._read, daemon=True)
        self.reading.start()
        until(lambda: any('"indexing"' in line for line in self.lines), 20)

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)

    def leads(self) -> bool:
        """Whether it ever was the one that reads."""
        return any("chain_poller_leads" in line for line in self.lines)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def nodes():
    with nodes_of("dense", latest=FIRST + 20, every=0.15) as nodes:
        yield nodes


async def test_everything_on_the_chain_is_in_both_feeds_once_and_in_order_whatever_the_nodes_do(
    make_server, backend, nodes
):
    nodes.add(EIGHT)
    nodes.add(EIGHT, lag=2, shape="v23")
    server = make_server(backend=backend, **reading(nodes))
    wanted = told(DENSE)
    async with (
        api_of(server) as api,
        follow(server, "websocket", cursor="") as one,
        follow(server, "sse", cursor="") as two,
    ):
        log = (await api.get("/api/events", params={"limit": 1000})).json()["events"]
        missed = [(each["chain"]["transactionHash"], each["chain"]["eventIndex"], each["cause"]) for each in log]
        for client in (one, two):
            await client.until(lambda c=client: c.events and got(c)[-1] == wanted[-1], 45)
            received = got(client)
            assert [*missed[: len(wanted) - len(received)], *received] == wanted
        seen = {(row["txHash"], row["eventIndex"]) for row in DENSE["events"] if row["contract"] == DENSE["contract"]}
        assert len(seen) == 380
        health = (await api.get("/health")).json()
        assert health["chain"]["leader"]
        assert health["chain"]["ledger"] >= DENSE["events"][-1]["ledger"]
        metrics = (await api.get("/metrics")).text
        assert 'fluxora_chain_items_total{outcome="events"}' in metrics
        assert "secret-key" not in metrics
        busy = await api.post("/api/service/degraded", json={"source": "stellar-rpc", "reason": "x"})
        assert (busy.status_code, busy.json()["errors"][0]["field"]) == (409, "source")
    assert server.stop() == 0
    assert "secret-key" not in json.dumps(server.lines)


@pytest.mark.postgresql
async def test_two_indexers_one_of_them_killed_and_a_second_that_ends_well(make_server, nodes):
    nodes.add()
    server = make_server(backend="postgresql", **reading(nodes, chain_poller="off"))
    wanted = told(DENSE)
    nodes.chain.set(paused=True, latest=FIRST + 20)
    async with follow(server, "sse") as client, api_of(server) as api:
        pair = [await asyncio.to_thread(Index, server, {}) for _ in range(2)]
        await client.count(30, 30)
        nodes.chain.set(paused=False)
        health = (await api.get("/health")).json()
        assert health["chain"].keys() == {"parked", "leader", "ledger", "gap"}
        assert not health["chain"]["leader"]
        [leader] = [each for each in pair if each.leads()]
        [other] = [each for each in pair if each is not leader]
        await asyncio.to_thread(leader.end, signal.SIGKILL)
        third = await asyncio.to_thread(Index, server, {})
        await client.until(lambda: got(client)[-1] == wanted[-1], 45)
        assert got(client) == wanted
        assert other.leads() or third.leads()
        await api_until(api, lambda health: (health["chain"]["ledger"] or 0) >= DENSE["events"][-1]["ledger"])
        for each in (other, third):
            assert await asyncio.to_thread(each.end, signal.SIGTERM) == 0


@pytest.mark.postgresql
async def test_a_leader_that_was_asleep_wakes_up_beside_the_next_one(make_server, nodes):
    """Both take themselves for the one that reads; only one of them can store."""
    nodes.add()
    server = make_server(backend="postgresql", **reading(nodes, chain_poller="off"))
    wanted = told(DENSE)
    nodes.chain.set(paused=True, latest=FIRST + 20)
    async with follow(server, "sse") as one, follow(server, "websocket") as two:
        pair = [await asyncio.to_thread(Index, server, {}) for _ in range(2)]
        await one.count(30, 30)
        [leader] = [each for each in pair if each.leads()]
        [other] = [each for each in pair if each is not leader]
        leader.process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(until, other.leads, 30)
        had = len(one.events)
        nodes.chain.set(paused=False)
        await one.count(had + 1, 30)
        leader.process.send_signal(signal.SIGCONT)
        for client in (one, two):
            await client.until(lambda c=client: got(c)[-1] == wanted[-1], 45)
            assert got(client) == wanted
        for each in pair:
            assert await asyncio.to_thread(each.end, signal.SIGTERM) == 0


@pytest.mark.postgresql
async def test_a_database_that_is_restarted_while_the_chain_is_read(own_cluster, start, nodes):
    nodes.add(EIGHT)
    nodes.add()
    [server] = await start(None, **reading(nodes))
    wanted = told(DENSE)
    async with follow(server, "sse", cursor="") as one, follow(server, "websocket", cursor="") as two:
        for pause in (0.2, 1.5):
            had = len(one.events)
            await one.count(had + 20, 30)
            await asyncio.to_thread(own_cluster.stop)
            await asyncio.sleep(pause)
            await asyncio.to_thread(own_cluster.start)
        for client in (one, two):
            await client.until(lambda c=client: c.events and got(c)[-1] == wanted[-1], 45)
        async with api_of(server) as api:
            log = (await api.get("/api/events", params={"limit": 1000})).json()["events"]
        assert [
            (each["chain"]["transactionHash"], each["chain"]["eventIndex"], each["cause"]) for each in log
        ] == wanted
        for client in (one, two):
            received = got(client)
            assert received == wanted[len(wanted) - len(received) :]
            # From its first event on, wherever the reading was when it came; 20 before each restart, at least.
            assert len(received) >= 40


async def test_a_gap_is_told_everywhere_and_an_operator_goes_on_after_it(make_server, backend):
    with nodes_of("dense", latest=FIRST + 20) as nodes:
        node = nodes.add()
        server = make_server(backend=backend, **reading(nodes))
        async with api_of(server) as api:
            await api_until(api, lambda health: health["chain"].get("ledger") == FIRST + 20)
            known = (await api.get("/api/streams", params={"limit": 500})).json()["streams"]
        assert server.stop() == 0
        nothing = run_app("chain", "resume", cwd=server.cwd, **server.settings)
        assert nothing.returncode == 1
        assert "there is no gap" in nothing.stderr
        nodes.chain.set(latest=nodes.chain.last, retention=10)
        paid = next(each for each in known if each["status"] == "active" and float(each["remainingAmount"]) > 0)
        withdrawn = int(paid["base"]["withdrawn"]) + 1
        numbers = {int(each["chainStreamId"]) for each in known}
        streams = {each.number: each for each in folded(nodes.script).streams.values()}
        born = {number: view(each) for number, each in streams.items() if number not in numbers and not each.closed_at}
        assert len(born) > 1
        give_records(node, known, {paid["chainStreamId"]: withdrawn}, list(born.values()))
        server.start()
        async with api_of(server) as api, follow(server, "websocket") as client:
            message = await client.message("service.degraded", 40)
            assert message["source"] == "stellar-rpc"
            assert "are lost to every node" in message["reason"]
            assert (await api.get("/health")).json()["status"] == "degraded"
            status = json.loads(run_app("chain", "status", cwd=server.cwd, **server.settings).stdout)
            assert status["gap"][0] == FIRST + 21
            assert list(status["outages"]) == ["stellar-rpc"]
            later = [
                row for row in own_rows(nodes.script) if row["name"] != "created" and streams_in(row) & born.keys()
            ]
            await api.post("/api/events", json={"events": [raw_item(row) for row in later]})
            assert await waiting(api, born)
            done = run_app("chain", "resume", cwd=server.cwd, **server.settings)
            assert done.returncode == 0, done.stderr
            await client.message("service.recovered", 40)
            await client.until(lambda: len(reconciled(client)) == len(born) + 1, 40)
            assert await waiting(api, born) == []
            [event] = [each for each in reconciled(client) if each["event"] == "stream.updated"]
            assert event["detail"] == {"fields": ["streamedAmount", "remainingAmount", "base.withdrawn"]}
            assert event["chain"]["streamId"] == paid["chainStreamId"]
            assert event["payload"]["base"]["withdrawn"] == str(withdrawn)
            await api_until(api, lambda health: not health["chain"]["gap"])
            assert json.loads(run_app("chain", "status", cwd=server.cwd, **server.settings).stdout)["gap"] is None
            await check_born_in_gap(api, client, nodes.script, born)


def streams_in(row) -> set[int]:
    seen = read(parse(raw_item(row)), {row["contract"]}, frozenset())
    return set(seen.fact.streams()) if isinstance(seen, Seen) else set()


async def waiting(api, born) -> list[dict]:
    """What waits for these streams."""
    parked = (await api.get("/api/chain/parked", params={"limit": 500})).json()["parked"]
    return [each for each in parked if each["waitsFor"] in set(map(str, born))]


def reconciled(client) -> list[dict]:
    return [each for each in client.events if each["cause"] == "reconciled"]


async def check_born_in_gap(api, client, script, born) -> None:
    """They are there as the contract has them; what is posted of the lost ledgers afterwards changes nothing."""
    began = [each for each in reconciled(client) if each["event"] == "stream.created"]
    ids = {number: f"stream-{script['contract'].lower()}-{number}" for number in born}
    assert [each["streamId"] for each in began] == [ids[number] for number in sorted(born)]
    for _ in range(2):
        for number, true in born.items():
            stream = (await api.get(f"/api/streams/{ids[number]}")).json()
            named = ("sender", "recipient", "depositAmount", "ratePerSecond", "status", "kind", "cancelledAt")
            assert [stream[name] for name in named] == [true[name] for name in named]
            told_by_record = (
                "deposit",
                "withdrawn",
                "ratePerSecond",
                "checkpoint",
                "checkpointAt",
                "cliffTime",
                "endTime",
            )
            assert [stream["base"][name] for name in told_by_record] == [true["base"][name] for name in told_by_record]
            assert (stream["assumed"], stream["transactionHash"], stream["ledger"]) == ([], None, None)
            assert (stream["chainStreamId"], stream["lastEvent"]) == (str(number), None)
        rows = [row for row in own_rows(script) if row["ledger"] > FIRST + 20]
        for start in range(0, len(rows), 500):
            answer = await api.post(
                "/api/events", json={"events": [raw_item(row) for row in rows[start : start + 500]]}
            )
            assert answer.status_code == 200
    assert await waiting(api, born) == []
    events = (await api.get("/api/events", params={"limit": 1000})).json()["events"]
    assert [each["version"] for each in events if each["streamId"] in ids.values()] == [1] * len(born)


async def test_emergencies_of_the_contract_are_told_also_after_a_restart(make_server, backend):
    script = load("script_lifecycle")
    rows = [row for row in script["events"] if row["name"] in {"gl_pause", "pr_pause", "ct_pause", "upgraded"}]
    source = f"contract:{script['contract']}"
    server = make_server(backend=backend, chain_contracts=configured(script))
    assert rows
    async with follow(server, "sse") as client, api_of(server) as api:
        for row in rows:
            await api.post("/api/events", json={"events": [raw_item(row)]})
        await client.until(lambda: any(each.get("source") == source for each in client.messages))
        now = {each["source"]: each["reason"] for each in (await api.get("/health")).json()["outages"]}
    server.restart()
    async with api_of(server) as api:
        if source in now:
            await api_until(api, lambda health: [each["reason"] for each in health["outages"]] == [now[source]])
        else:
            assert (await api.get("/health")).json()["outages"] == []


async def test_a_node_of_another_network_is_not_believed(make_server):
    with nodes_of("dense", latest=FIRST + 20) as nodes:
        nodes.add(passphrase="Another network")
        server = make_server(**reading(nodes))
        until(lambda: "wrong_network" in json.dumps(server.lines), 20)
        async with api_of(server) as api:
            assert (await api.get("/api/streams")).json()["streams"] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chain_rpc_urls": URL}, "CHAIN_CONTRACTS"),
        ({"chain_rpc_urls": URL, "chain_contracts": DENSE["contract"]}, "CHAIN_PASSPHRASE"),
        ({"chain_rpc_urls": f"{URL},ftp://x"}, "chain_rpc_urls"),
        ({"chain_rpc_urls": f"{URL},{URL}"}, "twice"),
        ({"chain_contracts": f"{DENSE['contract']},{DENSE['contract']}"}, "twice"),
        ({"chain_contracts": f"{DENSE['contract']}:39"}, "chain_contracts"),
        ({"chain_contracts": "GABC"}, "chain_contracts"),
        ({"chain_poller": "perhaps"}, "chain_poller"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(ValidationError) as refused:
        Settings(**settings)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_who_may_not_index(tmp_path):
    sqlite = f"sqlite:///{tmp_path}/x.db"
    whole = {"chain_rpc_urls": URL, "chain_contracts": DENSE["contract"], "chain_passphrase": "x"}
    assert "SQLite file is for one process" in run_app("index", cwd=tmp_path, database_url=sqlite, **whole).stderr
    assert "CHAIN_RPC_URLS" in run_app("index", cwd=tmp_path, database_url="postgresql://x/y").stderr
    assert run_app("migrate", cwd=tmp_path, database_url=sqlite).returncode == 0
    assert "names no contract" in run_app("chain", "status", cwd=tmp_path, database_url=sqlite).stderr


async def test_an_upgrade_is_confirmed_once(make_server, backend):
    script = load("script_lifecycle")
    contract = script["contract"]
    server = make_server(backend=backend, chain_contracts=configured(script))
    upgraded = [row for row in script["events"] if row["name"] == "upgraded"]
    assert upgraded
    confirm = ("chain", "confirm")
    assert "not in CHAIN_CONTRACTS" in run_app(*confirm, "C" * 56, cwd=server.cwd, **server.settings).stderr
    assert "no upgrade" in run_app(*confirm, contract, cwd=server.cwd, **server.settings).stderr
    async with api_of(server) as api:
        await api.post("/api/events", json={"events": [raw_item(row) for row in upgraded]})
        await api_until(api, lambda health: [each["reason"] for each in health["outages"]] == ["upgraded"])
        assert run_app(*confirm, contract, cwd=server.cwd, **server.settings).returncode == 0
        await api_until(api, lambda health: health["outages"] == [])


async def api_until(api, true, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not true((await api.get("/health")).json()):
            await asyncio.sleep(0.05)


def give_records(node, streams, withdrawn, born) -> None:
    """Let a node answer `getLedgerEntries` with the streams as they are known, but for some withdrawals.

    `born` are those of a newer revision of the contract, with all its fields.
    """
    contract = node.chain.script["contract"]
    entries = {
        key_of(contract, int(each["chainStreamId"])): {
            "xdr": record(contract, each, withdrawn.get(each["chainStreamId"], each["base"]["withdrawn"])),
            "lastModifiedLedgerSeq": FIRST + 20,
        }
        for each in streams
        if each["closedAt"] is None
    }
    for each in born:
        entries[key_of(contract, int(each["chainStreamId"]))] = {
            "xdr": record(contract, each, each["base"]["withdrawn"], newer=True),
            "lastModifiedLedgerSeq": FIRST + 30,
        }
    call = node.call

    def answer(method, params):
        if method != "getLedgerEntries":
            return call(method, params)
        found = [entries[key] for key in params["keys"] if key in entries]
        return {"entries": found, "latestLedger": node.chain.latest()}

    node.call = answer


def record(contract, stream, withdrawn, *, newer=False) -> str:
    """A stream's record in the contract, as XDR."""
    base = stream["base"]
    statuses = ["active", "paused", "completed", "cancelled"]
    values = {
        "stream_id": scval.to_uint64(int(stream["chainStreamId"])),
        "sender": scval.to_address(stream["sender"]),
        "recipient": scval.to_address(stream["recipient"]),
        "deposit_amount": scval.to_int128(int(base["deposit"])),
        "rate_per_second": scval.to_int128(int(base["ratePerSecond"])),
        "start_time": scval.to_uint64(int(base["startTime"])),
        "cliff_time": scval.to_uint64(int(base["cliffTime"])),
        "end_time": scval.to_uint64(int(base["endTime"])),
        "withdrawn_amount": scval.to_int128(int(withdrawn)),
        "status": scval.to_uint32(statuses.index(stream["status"])),
        "cancelled_at": scval.to_void() if stream["cancelledAt"] is None else scval.to_uint64(stream["cancelledAt"]),
    }
    if newer:
        values |= {
            "kind": scval.to_uint32(["linear", "cliffOnly", "cliffSlope"].index(stream["kind"])),
            "checkpointed_amount": scval.to_int128(int(base["checkpoint"])),
            "checkpointed_at": scval.to_uint64(int(base["checkpointAt"])),
            "withdraw_dust_threshold": scval.to_int128(int(base["dustThreshold"])),
            "memo": scval.to_void() if stream["memo"] is None else scval.to_bytes(bytes.fromhex(stream["memo"])),
            "metadata": scval.to_void(),
            "claim_owner": scval.to_void(),
            "is_pooled": scval.to_bool(stream["pooled"]),
            "decommissioned": scval.to_bool(stream["decommissioned"]),
            "parent_stream_id": scval.to_void(),
        }
    data = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=Address(contract).to_xdr_sc_address(),
        key=scval.to_vec([scval.to_symbol("Stream"), scval.to_uint64(int(stream["chainStreamId"]))]),
        durability=xdr.ContractDataDurability.PERSISTENT,
        val=scval.to_map({scval.to_symbol(name): value for name, value in sorted(values.items())}),
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()
