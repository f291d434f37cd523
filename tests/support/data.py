"""Valid input: addresses, streams, chain events."""

import base64
import binascii
import hashlib
from itertools import count

_transactions = count(1)


def address(seed: object, kind: str = "G") -> str:
    version = {"G": 6 << 3, "C": 2 << 3}[kind]
    body = bytes([version]) + hashlib.sha256(str(seed).encode()).digest()
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode()


SENDER = address("sender")
RECIPIENT = address("recipient")
CONTRACT = address("contract", "C")


def transaction() -> str:
    return hashlib.sha256(f"transaction {next(_transactions)}".encode()).hexdigest()


def new_stream(**changes) -> dict:
    return {
        "sender": SENDER,
        "recipient": RECIPIENT,
        "depositAmount": "1000",
        "ratePerSecond": "0.5",
        "startTime": 1_700_000_000,
        **changes,
    }


def created(**changes) -> dict:
    return {
        "type": "StreamCreated",
        "contractId": CONTRACT,
        "transactionHash": transaction(),
        "eventIndex": 0,
        "sender": SENDER,
        "recipient": RECIPIENT,
        "amount": "1000",
        "ratePerSecond": "0.5",
        "startTime": 1_700_000_000,
        "endTime": 0,
        **changes,
    }


def stream_id(event: dict) -> str:
    return f"stream-{event['transactionHash']}-{event['eventIndex']}"


def updated(of: str, **changes) -> dict:
    return {
        "type": "StreamUpdated",
        "contractId": CONTRACT,
        "transactionHash": transaction(),
        "eventIndex": 0,
        "streamId": of,
        **changes,
    }


def cancelled(of: str, **changes) -> dict:
    return {
        "type": "StreamCancelled",
        "contractId": CONTRACT,
        "transactionHash": transaction(),
        "eventIndex": 0,
        "streamId": of,
        **changes,
    }
