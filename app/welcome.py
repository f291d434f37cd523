"""What a newcomer is shown when the service starts without keys."""

_TEXT = """
Fluxora streams is running on {base}

  Watch it in a browser:   {base}/
  Watch it in a terminal:  curl {way}-N {base}/sse/streams

  Make an event (this key is for this start only):

    curl {way}-X POST {base}/api/streams \\
      -H 'Authorization: Bearer {key}' \\
      -H 'Content-Type: application/json' \\
      -d '{{"sender": "{sender}",
           "recipient": "{recipient}",
           "depositAmount": "1000", "ratePerSecond": "0.5"}}'

  How is it?               curl {way}{base}/health
  The API:                 {base}/docs
  To stop:                 Ctrl-C
"""
_SENDER = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"
_RECIPIENT = "GBRPYHIL2CI3FNQ4BXLFMNDLFJUNPU2HY3ZMFSHONUCEOASW7QC7OX2H"


def welcome(host: str, port: int | None, key: str, bind: str | None = None) -> str:
    """Return the lines to show: ready to paste, with the development key."""
    way = f"--unix-socket {bind.removeprefix('unix:')} " if bind else ""
    shown = f"[{host}]" if ":" in host else host
    base = "http://localhost" if port is None else f"http://{shown}:{port}"
    return _TEXT.format(base=base, way=way, key=key, sender=_SENDER, recipient=_RECIPIENT)
