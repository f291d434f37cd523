"""Who may listen and write, on real sockets: each test is named after what is tried."""

import asyncio
import base64
import hashlib
import hmac
import json
import statistics
import time

import httpx
import jwt
import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError
from stellar_sdk import Keypair, MuxedAccount

from app.bootstrap import Application
from app.core.access.grant import Scope
from app.core.access.ports import ApiKey
from app.settings import Settings
from app.web.access.keyring import Keyring
from app.web.access.policy import POLICY, PUBLIC
from app.web.access.secrets import digest_of, new_key
from tests.conftest import api_of
from tests.support.data import CONTRACT, new_stream
from tests.support.feeds import TRANSPORTS, follow
from tests.support.server import KEY, Server, run_app

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
SECRET = "a secret of at least thirty-two bytes, for tests"
ALICE, BOB, CAROL = (Keypair.random().public_key for _ in range(3))


def token(sub=None, secret=SECRET, algorithm="HS256", headers=None, **claims) -> str:
    given = {"sub": sub or ALICE, "exp": int(time.time()) + 600, **claims}
    return jwt.encode({k: v for k, v in given.items() if v is not None}, secret, algorithm, headers=headers)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def closed(backend, migrated_database, tmp_path_factory):
    """A service that is read by who signs in alone; its tests make their own people."""
    settings = {"read_access": "signed-in", "jwt_secret": SECRET}
    server = Server(tmp_path_factory.mktemp("closed"), database_url=migrated_database(backend), **settings).start()
    yield server
    assert server.stop() == 0


@pytest.fixture(autouse=True)
def _people():
    """Fresh accounts, so that nobody sees another test's streams."""
    global ALICE, BOB, CAROL
    ALICE, BOB, CAROL = (Keypair.random().public_key for _ in range(3))


async def make(api, sender=None, recipient=None, **more) -> dict:
    sender, recipient = sender or ALICE, recipient or BOB
    answer = await api.post("/api/streams", json=new_stream(sender=sender, recipient=recipient, **more))
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_every_route_has_a_policy_and_what_changes_something_is_never_public(tmp_path):
    app = Application(Settings(database_url=f"sqlite:///{tmp_path}/x.db", api_keys=KEY)).quart
    policies = {}
    for rule in app.url_map.iter_rules():
        policy = getattr(app.view_functions[rule.endpoint], POLICY, None)
        assert policy is not None, f"{rule.rule} has no policy"
        policies[rule.rule, rule.websocket] = policy
        if {"POST", "PATCH", "DELETE", "PUT"} & (rule.methods or set()):
            assert policy != PUBLIC, rule.rule
    assert policies["/ws/streams", True] == policies["/sse/streams", False] == Scope.STREAMS_READ
    assert policies["/api/keys", False] == Scope.ADMIN


async def test_reading_without_a_credential_where_it_is_closed(closed):
    async with httpx.AsyncClient(base_url=closed.base) as http:
        for path in ("/api/streams", "/api/streams/stream-1", "/api/events", "/sse/streams", "/api/chain/parked"):
            answer = await http.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fluxora"'
            bad = await http.get(path, headers=bearer("nonsense"))
            assert (bad.status_code, bad.headers["WWW-Authenticate"]) == (
                401,
                'Bearer realm="fluxora", error="invalid_token"',
            )
        for path in ("/health", "/health/live", "/metrics", "/openapi.json"):
            assert (await http.get(path)).status_code == 200
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(closed.ws)
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_somebody_sees_own_streams_alone_live_in_replays_and_by_rest(closed, transport):
    async with api_of(closed) as api:
        start = (await api.get("/api/streams")).headers["Last-Event-ID"]
        mine = await make(api)
        received = await make(api, sender=BOB, recipient=ALICE)
        other = await make(api, sender=BOB, recipient=CAROL)
        async with httpx.AsyncClient(base_url=closed.base, headers=bearer(token())) as http:
            page = (await http.get("/api/streams")).json()["streams"]
            assert {each["id"] for each in page} == {mine["id"], received["id"]}
            hidden, never = await http.get(f"/api/streams/{other['id']}"), await http.get("/api/streams/stream-none")
            assert hidden.status_code == never.status_code == 404
            assert hidden.json()["detail"].replace(other["id"], "x") == never.json()["detail"].replace(
                "stream-none", "x"
            )
            log = (await http.get("/api/events", params={"after": start})).json()["events"]
            assert [each["streamId"] for each in log] == [mine["id"], received["id"]]
            asked = await http.get("/api/events", params={"after": start, "streamId": other["id"]})
            assert asked.json()["events"] == []
            assert (await http.get("/api/chain/parked")).status_code == 403
            assert (await http.post("/api/streams", json=new_stream())).status_code == 403
        async with listen(closed, transport, token(), cursor=start) as client:
            await client.count(2)
            await make(api, sender=BOB, recipient=CAROL)
            last = await make(api, sender=CAROL, recipient=ALICE)
            await client.count(3)
            assert [each["streamId"] for each in client.events] == [mine["id"], received["id"], last["id"]]


def listen(server, transport, text, cursor=None, **filters):
    """Follow with a token: a ticket carries it, as from a browser."""
    ticket = httpx.post(f"{server.base}/api/tickets", headers=bearer(text)).json()["ticket"]
    return follow(server, transport, cursor=cursor, ticket=ticket, **filters)


async def test_a_filter_that_asks_for_somebody_elses_stream_gets_nothing(closed):
    async with api_of(closed) as api:
        other = await make(api, sender=BOB, recipient=CAROL)
        async with listen(closed, "websocket", token(), participant=[BOB, ALICE], streamId=other["id"]) as client:
            await client.connection.send(json.dumps({"type": "subscribe", "filter": {"streamId": other["id"]}}))
            await client.message("subscribed")
            await api.patch(f"/api/streams/{other['id']}", json={"status": "paused"})
            mine = await make(api)
            await client.connection.send(json.dumps({"type": "subscribe", "filter": {}}))
            await api.patch(f"/api/streams/{mine['id']}", json={"status": "paused"})
            await client.count(1)
            assert {each["streamId"] for each in client.events} == {mine["id"]}


FORGED = {
    "alg none": lambda: jwt.encode({"sub": ALICE, "exp": time.time() + 600}, None, "none"),
    "another secret": lambda: token(secret="another secret of at least thirty-two bytes"),
    "expired": lambda: token(exp=int(time.time()) - 60),
    "not yet valid": lambda: token(nbf=int(time.time()) + 600),
    "without an end": lambda: token(exp=None),
    "without a subject": lambda: jwt.encode({"exp": time.time() + 600}, SECRET, "HS256"),
    "for an audience that nobody set": lambda: token(aud="somebody"),
    "another algorithm": lambda: token(algorithm="HS512"),
    "cut": lambda: token()[:-4],
    "very long": lambda: token(padding="x" * 20_000),
    "three parts of nothing": lambda: "a.b.c",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_a_token_that_is(make_server, forged):
    server = make_server(jwt_secret=SECRET)
    async with httpx.AsyncClient(base_url=server.base) as http:
        answer = await http.get("/api/streams", headers=bearer(forged()))
        if answer.status_code == 431:  # the head alone is too long
            return
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].endswith('error="invalid_token"')
        assert (await http.get("/api/streams", headers=bearer(token()))).status_code == 200
    assert server.stop() == 0
    assert "eyJ" not in json.dumps(server.lines)


async def test_wrong_audience_issuer_and_type(make_server):
    server = make_server(jwt_secret=SECRET, jwt_audience="us", jwt_issuer="them", jwt_type="at+jwt")
    good = {"aud": "us", "iss": "them", "headers": {"typ": "at+JWT"}}
    async with httpx.AsyncClient(base_url=server.base) as http:
        assert (await http.get("/api/streams", headers=bearer(token(**good)))).status_code == 200
        for wrong in ({"aud": "you"}, {"iss": "me"}, {"aud": None}, {"iss": None}, {"headers": {"typ": "JWT"}}):
            assert (await http.get("/api/streams", headers=bearer(token(**good | wrong)))).status_code == 401


async def test_published_keys_confusion_and_a_flood_of_unknown_key_ids(make_server, tmp_path):
    keys = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    published = [
        json.loads(jwt.get_algorithm_by_name(name).to_jwk(key.public_key())) | {"kid": name, "alg": name}
        for name, key in keys.items()
    ]
    published.append({"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "kid": "oct", "alg": "HS256"})
    fetched = []

    async def answer(reader, writer):
        fetched.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps({"keys": published}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    source = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = source.sockets[0].getsockname()[1]
    server = await asyncio.to_thread(make_server, jwt_jwks=f"http://127.0.0.1:{port}/keys")
    async with httpx.AsyncClient(base_url=server.base) as http:
        for name, key in keys.items():
            good = token(secret=key, algorithm=name, headers={"kid": name})
            assert (await http.get("/api/streams", headers=bearer(good))).status_code == 200, name
        pem = keys["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        confused = hmac_token(pem, "RS256")
        for bad in (
            confused,
            token(secret="x" * 32, headers={"kid": "oct"}),
            token(secret=keys["RS256"], algorithm="RS256", headers={"kid": "ES256"}),
        ):
            assert (await http.get("/api/streams", headers=bearer(bad))).status_code == 401
        before = len(fetched)
        for number in range(30):
            flood = token(secret=keys["RS256"], algorithm="RS256", headers={"kid": f"made-up-{number}"})
            assert (await http.get("/api/streams", headers=bearer(flood))).status_code in (401, 429)
        assert len(fetched) == before == 1
        source.close()
        good = token(secret=keys["EdDSA"], algorithm="EdDSA", headers={"kid": "EdDSA"})
        assert (await http.get("/api/streams", headers=bearer(good))).status_code == 200


def hmac_token(key: bytes, kid: str) -> str:
    """HS256 with a public key as the secret; PyJWT does not sign that, so by hand."""

    def part(value) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    body = part({"alg": "HS256", "kid": kid}) + b"." + part({"sub": ALICE, "exp": time.time() + 600})
    signature = base64.urlsafe_b64encode(hmac.new(key, body, hashlib.sha256).digest()).rstrip(b"=")
    return (body + b"." + signature).decode()


async def test_subjects_of_wallets(make_server):
    server = make_server(jwt_secret=SECRET, read_access="signed-in")
    muxed = MuxedAccount(ALICE, 7).account_muxed
    details = [{"type": "fluxora-streams", "contracts": [CONTRACT]}, {"type": "other"}]
    async with api_of(server) as api:
        mine, theirs = await make(api), await make(api, sender=BOB, recipient=CAROL)
        of_contract = await make(api, sender=BOB, recipient=CAROL, contractId=CONTRACT)
        everything = {mine["id"], theirs["id"], of_contract["id"]}
        for sub, claims, seen in (
            (ALICE, {}, {mine["id"]}),
            (muxed, {}, {mine["id"]}),
            (f"{ALICE}:123", {}, {mine["id"]}),
            ("operations", {}, everything),
            (ALICE, {"authorization_details": details}, {of_contract["id"]}),
            (CAROL, {}, {theirs["id"], of_contract["id"]}),
        ):
            answer = await api.get("/api/streams", headers=bearer(token(sub, **claims)))
            assert {each["id"] for each in answer.json()["streams"]} == seen, sub
        assert (await api.get("/api/streams", headers=bearer(token(scope="events:write")))).status_code == 403
    strict = make_server(jwt_secret=SECRET, jwt_shared_accounts="false", jwt_own_claim="accounts")
    async with httpx.AsyncClient(base_url=strict.base) as http:
        assert (await http.get("/api/streams", headers=bearer(token(accounts=[ALICE])))).json()["streams"] == []
        assert (await http.get("/api/streams", headers=bearer(token("x")))).json()["streams"] == []


async def test_a_ticket_used_twice_also_in_two_processes_at_once_and_none_from_a_log(
    make_server, backend, new_database
):
    url = new_database(backend)
    first = make_server(backend=backend, database_url=url, read_access="signed-in", jwt_secret=SECRET)
    servers = [first]
    if backend == "postgresql":
        servers.append(make_server(backend=backend, database_url=url, read_access="signed-in", jwt_secret=SECRET))
    async with httpx.AsyncClient(timeout=15) as http:
        for _ in range(5):
            made = await http.post(f"{first.base}/api/tickets", headers=bearer(token()))
            assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
            ticket = made.json()["ticket"]
            # A look does not spend it.
            assert (await http.head(f"{first.base}/sse/streams", params={"ticket": ticket})).status_code == 200
            tries = [open_sse(http, server, ticket) for server in servers for _ in range(3)]
            statuses = await asyncio.gather(*tries)
            assert sorted(statuses) == [200, *[401] * (len(tries) - 1)]
    for server in servers:
        assert server.stop() == 0
        assert ticket not in json.dumps(server.lines)


async def open_sse(http, server, ticket) -> int:
    async with http.stream("GET", f"{server.base}/sse/streams", params={"ticket": ticket}) as answer:
        return answer.status_code


async def test_timing_of_key_comparison():
    """How long a wrong key takes does not tell whether its id is one of ours, nor how much of it is right."""
    key, key_id = new_key()
    stored = ApiKey(key_id, "x", digest_of(key), frozenset({Scope.ADMIN}), None, 0.0, None, None, None)

    class Kept:
        async def keys(self):
            return [stored]

    keyring = Keyring(frozenset(), Kept())
    await keyring.look()
    other = new_key()[0]
    tried = {
        "right": key,
        "wrong at its end": key[:-1] + ("A" if key[-1] != "A" else "B"),
        "wrong from its beginning": f"fxk_{key_id}_{other.split('_')[2]}",
        "of nobody": other,
    }
    keyring._looked_at = (
        time.time() + 3600
    )  # an unknown id is looked for, a few times a second: that is not what is timed
    took = {name: [] for name in tried}
    for _ in range(2000):
        for name, text in tried.items():
            began = time.perf_counter_ns()
            found = await keyring.principal(text)
            took[name].append(time.perf_counter_ns() - began)
            assert (found is not None) == (name == "right")
    wrong = [statistics.median(times) for name, times in took.items() if name != "right"]
    assert max(wrong) < 1.5 * min(wrong), wrong


async def test_a_long_lived_secret_in_a_url(make_server):
    server = make_server()
    async with httpx.AsyncClient(base_url=server.base) as http:
        for path in ("/api/streams", "/sse/streams", "/ws/streams"):
            for name in ("token", "access_token", "api_key"):
                headers = UPGRADE if path.startswith("/ws") else {}
                answer = await http.get(path, params={name: KEY}, headers=headers)
                assert answer.status_code == 400, (path, name)
                assert "ticket" in answer.text
                assert KEY not in answer.text
    assert server.stop() == 0
    assert KEY not in json.dumps(server.lines)


async def test_subprotocols_carry_a_token_and_never_come_back(closed):
    text = token()
    encoded = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    for offered in (
        ["fluxora.v1", f"bearer.{text}"],
        ["fluxora.v1", f"base64url.bearer.authorization.fluxora.v1.{encoded}"],
    ):
        async with websockets.connect(closed.ws, subprotocols=offered) as connection:
            assert connection.subprotocol == "fluxora.v1"
            assert json.loads(await connection.recv())["event"] == "feed.opened"
    async with websockets.connect(closed.ws, subprotocols=[f"bearer.{text}"]) as connection:
        assert connection.subprotocol is None
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(closed.ws, subprotocols=["fluxora.v1", "bearer.nonsense"])
    assert refused.value.response.status_code == 401


async def test_the_cookie_from_a_foreign_page_and_without_an_origin(closed):
    async with httpx.AsyncClient(base_url=closed.base) as http:
        made = await http.post("/api/session", headers=bearer(token(scope="streams:read streams:write")))
        assert made.status_code == 201
        [cookie] = made.headers.get_list("Set-Cookie")
        for part in ("__Host-fluxora=", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
            assert part in cookie
        jar = {"Cookie": cookie.partition(";")[0]}
        own = {"Origin": closed.base}
        assert (await http.get("/api/streams", headers=jar)).status_code == 200
        assert (await http.post("/api/streams", headers=jar, json=new_stream())).status_code == 403
        foreign = {"Origin": "https://evil.example"}
        assert (await http.post("/api/streams", headers=jar | foreign, json=new_stream())).status_code == 403
        assert (await http.post("/api/streams", headers=jar | own, json=new_stream())).status_code == 201
        for headers in ({}, foreign):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(closed.ws, additional_headers=jar | headers)
            assert refused.value.response.status_code == 403
        async with websockets.connect(closed.ws, additional_headers=jar, origin=closed.base):
            pass
        assert (await http.delete("/api/session", headers=jar | own)).status_code == 204
        assert (await http.get("/api/streams", headers=jar)).status_code == 401


async def test_another_name_for_our_address(make_server):
    server = make_server(allowed_hosts="")
    async with httpx.AsyncClient(base_url=server.base) as http:
        for host, status in (
            ("evil.example", 421),
            ("8.8.8.8", 421),
            ("[2001:db8::1]", 421),
            ("dev-machine", 200),
            ("localhost", 200),
            ("127.0.0.1:1", 200),
            ("[::1]:80", 200),
        ):
            answer = await http.get("/api/streams", headers={"Host": host})
            assert answer.status_code == status, host
    named = make_server(allowed_hosts="feed.example")
    async with httpx.AsyncClient(base_url=named.base) as http:
        assert (await http.get("/health/live")).status_code == 421
        assert (await http.get("/health/live", headers={"Host": "Feed.Example:443"})).status_code == 200


async def test_a_renewal_loses_and_repeats_nothing_and_another_subject_is_shown_out(closed):
    async with api_of(closed) as api:
        async with listen(closed, "websocket", token(exp=int(time.time()) + 30)) as client:
            assert (await client.message("token.expiring"))["expiresAt"]
            for number in range(20):
                await make(api)
                if number % 5 == 0:
                    renewed = {"type": "auth", "token": token(exp=int(time.time()) + 600 + number)}
                    await client.connection.send(json.dumps(renewed))
            await client.count(20)
            await client.message("authorized")
            assert [each["version"] for each in client.events] == [1] * 20
            assert len({each["id"] for each in client.events}) == 20
            await client.connection.send(json.dumps({"type": "auth", "token": token(BOB)}))
            await asyncio.wait_for(client.ended.wait(), 10)
            assert client.close_code == 4001
        for bad in (token(exp=int(time.time()) - 60), "nonsense"):
            async with listen(closed, "websocket", token()) as client:
                await client.connection.send(json.dumps({"type": "auth", "token": bad}))
                await asyncio.wait_for(client.ended.wait(), 10)
                assert client.close_code == 4001


async def test_at_its_end_a_token_ends_the_feed(closed):
    async with (
        listen(closed, "websocket", token(exp=int(time.time()) + 2)) as one,
        listen(closed, "sse", token(exp=int(time.time()) + 2)) as two,
    ):
        await asyncio.wait_for(one.ended.wait(), 10)
        assert one.close_code == 4003
        message = await two.message("session.expired", 10)
        assert message["cursor"]
        await asyncio.wait_for(two.ended.wait(), 10)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_key_that_is_revoked_while_connected_by_another_process(closed, transport):
    settings = closed.settings
    create = ("keys", "create", "--name", "wallet", "--scope", "streams:read", "--own", ALICE, "--expires", "90d")
    made = await asyncio.to_thread(lambda: run_app(*create, cwd=closed.cwd, **settings))
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    async with api_of(closed) as api, listen(closed, transport, key) as client:
        await make(api, sender=BOB, recipient=CAROL)
        mine = await make(api)
        await client.count(1)
        assert [each["streamId"] for each in client.events] == [mine["id"]]
        listed = await asyncio.to_thread(lambda: run_app("keys", "list", cwd=closed.cwd, **settings))
        key_id = key.split("_")[1]
        assert key_id in listed.stdout
        assert key not in listed.stdout
        rotated = await asyncio.to_thread(lambda: run_app("keys", "rotate", key_id, cwd=closed.cwd, **settings))
        for each in (key, rotated.stdout.strip()):
            assert (await api.get("/api/streams", headers=bearer(each))).status_code == 200
        began = time.monotonic()
        assert (
            await asyncio.to_thread(lambda: run_app("keys", "revoke", key_id, cwd=closed.cwd, **settings))
        ).returncode == 0
        await asyncio.wait_for(client.ended.wait(), 5)
        assert time.monotonic() - began < 5  # the command itself takes most of it
        if transport == "websocket":
            assert client.close_code == 4001
        assert (await api.get("/api/streams", headers=bearer(key))).status_code == 401
        assert (await api.get("/api/streams", headers=bearer(rotated.stdout.strip()))).status_code == 200


async def test_kicks_revoked_tokens_and_the_record_of_it_all(closed):
    async with api_of(closed) as api:
        async with listen(closed, "websocket", token(jti="one")) as one, listen(closed, "sse", token(BOB)) as two:
            listed = (await api.get("/api/connections")).json()
            found = listed["connections"]
            assert [each["open"] for each in listed["processes"]] == [len(found)]
            assert {each["principal"] for each in found} == {f"jwt:{ALICE}", f"jwt:{BOB}"}
            [of_one] = [each for each in found if each["principal"] == f"jwt:{ALICE}"]
            assert of_one["transport"] == "websocket"
            assert (await api.delete(f"/api/connections/{of_one['id']}")).status_code == 204
            await asyncio.wait_for(one.ended.wait(), 5)
            assert one.close_code == 4001
            assert (await api.delete("/api/connections", params={"principal": f"jwt:{BOB}"})).status_code == 204
            await asyncio.wait_for(two.ended.wait(), 5)
        assert (await api.get("/api/streams", headers=bearer(token(jti="one")))).status_code == 200
        async with listen(closed, "websocket", token(jti="one")) as again:
            assert (await api.post("/api/revocations", json={"jti": "one"})).status_code == 204
            await asyncio.wait_for(again.ended.wait(), 5)
        assert (await api.get("/api/streams", headers=bearer(token(jti="one")))).status_code == 401
        made = await make(api)
        await api.post("/api/service/degraded", json={"source": "x", "reason": "tried"})
        await api.post("/api/service/recovered", json={"source": "x", "reason": "tried"})
        records = (await api.get("/api/audit", params={"limit": 1000})).json()["records"]
        actions = [each["action"] for each in records]
        for action in ("POST /api/streams", "POST /api/revocations", "DELETE /api/connections", "POST /api/tickets"):
            assert action in actions, actions
        written = [each for each in records if each["action"] == "POST /api/streams"][-1]
        event = (await api.get("/api/events", params={"streamId": made["id"]})).json()["events"][-1]
        assert (written["first"], written["last"], written["count"]) == (event["id"], event["id"], 1)
        assert event["streamId"] == made["id"]
        assert written["principal"].startswith("key:")
        assert written["address"] == "127.0.0.1"
        lines = (await api.get("/api/audit", headers={"Accept": "application/x-ndjson"})).text.splitlines()
        assert [json.loads(line)["id"] for line in lines] == [each["id"] for each in records[: len(lines)]]
        assert (await api.get("/api/audit", headers=bearer(token(scope="admin")))).status_code == 403


async def test_keys_over_http(closed):
    async with api_of(closed) as api:
        asked = {"name": "indexer", "scopes": ["events:write"], "expiresIn": 3600}
        made = (await api.post("/api/keys", json=asked)).json()
        key = made.pop("key")
        assert made["scopes"] == ["events:write"]
        assert (await api.post("/api/events", json={"events": []}, headers=bearer(key))).status_code == 200
        refused = await api.get("/api/streams", headers=bearer(key))
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:fluxora:problem:insufficient-scope")
        assert 'scope="streams:read"' in refused.headers["WWW-Authenticate"]
        assert (await api.post("/api/keys", json=asked, headers=bearer(key))).status_code == 403
        assert key not in (await api.get("/api/keys")).text
        rotated = (await api.post(f"/api/keys/{made['id']}/rotate", json={"grace": 0})).json()
        assert rotated["scopes"] == ["events:write"]
        assert (await api.delete(f"/api/keys/{rotated['id']}")).status_code == 204
        assert (await api.delete("/api/keys/none")).status_code == 404
        for wrong in ({"name": "x", "scopes": ["everything"]}, {"name": "", "scopes": []}, {"scopes": ["admin"]}):
            answer = await api.post("/api/keys", json=wrong)
            assert answer.status_code == 400
            assert answer.json()["errors"]


async def test_crlf_and_nul_in_names_of_all_kinds(closed):
    async with api_of(closed) as api:
        odd = "a%00b", "a%0D%0Ab", "%E2%80%A8", "x" * 600
        answers = [
            *[await api.delete(f"/api/keys/{name}") for name in odd],
            *[await api.post(f"/api/keys/{name}/rotate", json={}) for name in odd],
            *[await api.delete(f"/api/connections/{name}") for name in odd],
            *[await api.delete(f"/api/connections?principal={name}") for name in odd],
            *[await api.post("/api/revocations", json={"jti": text}) for text in ("a\0b", "a\r\nb", "")],
            *[await api.post("/api/keys", json={"name": text, "scopes": ["admin"]}) for text in ("a\0b", "\n")],
        ]
        assert {answer.status_code for answer in answers} == {400}
        for wrong in (token("a\0b"), token("a\r\nb"), token(jti="a\0b")):
            assert (await api.get("/api/streams", headers=bearer(wrong))).status_code == 401
        for text in ("a\0b", "fxk_a%00_b", "\u2028"):
            for path in ("/sse/streams", "/ws/streams"):
                answer = await api.get(path, params={"ticket": text}, headers=UPGRADE if "ws" in path else {})
                assert answer.status_code == 401
    assert not closed.logged("request_failed")


async def test_many_failed_sign_ins_slow_down_who_fails_and_nobody_else(make_server):
    server = make_server()
    async with api_of(server) as api:
        statuses = [(await api.get("/api/streams", headers=bearer("wrong"))).status_code for _ in range(30)]
        assert statuses[:20] == [401] * 20
        assert statuses[20:] == [429] * 10
        assert (await api.get("/api/streams")).status_code == 200


async def test_too_many_requests(make_server):
    server = make_server(request_rate="5/minute")
    async with api_of(server) as api:
        answers = [await api.get("/api/streams") for _ in range(7)]
        assert [each.status_code for each in answers] == [*[200] * 5, 429, 429]
        assert answers[0].headers["RateLimit-Policy"] == '"requests";q=5;w=60'
        assert answers[0].headers["RateLimit"].startswith('"requests";r=4;t=')
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert (await api.get("/health")).status_code == 200


async def test_open_reading_with_a_credential_shown(make_server):
    server = make_server(jwt_secret=SECRET)
    async with api_of(server) as api:
        mine, other = await make(api), await make(api, sender=BOB, recipient=CAROL)
        async with httpx.AsyncClient(base_url=server.base) as http:
            for headers, seen in (
                ({}, {mine["id"], other["id"]}),
                ({"Authorization": ""}, {mine["id"], other["id"]}),
                (bearer(token()), {mine["id"]}),
                (bearer(token("x", scope="events:write")), {mine["id"], other["id"]}),
            ):
                page = (await http.get("/api/streams", headers=headers)).json()["streams"]
                assert {each["id"] for each in page} == seen, headers


def test_production_needs_a_way_to_tell_who_may_write(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    settings = {"environment": "production", "database_url": url, "port": 0}
    refused = run_app(cwd=tmp_path, **settings)
    assert refused.returncode == 1
    assert "API_KEYS" in refused.stderr
    assert "keys create" in refused.stderr
    refused = run_app(cwd=tmp_path, database_url=url, port=0, host="0.0.0.0")
    assert refused.returncode == 1
    assert "HOST=0.0.0.0" in refused.stderr


@pytest.mark.parametrize("wrong", [{"jwt_secret": "short"}, {"jwt_default_scope": "all"}, {"request_rate": "often"}])
def test_settings_of_access_that_cannot_be(wrong):
    with pytest.raises(ValidationError) as refused:
        Settings(**wrong)
    assert next(iter(wrong)) in str(refused.value)
