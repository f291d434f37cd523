"""What a newcomer is shown when the service starts without keys."""

_TEXT = """
Fluxora streams is running on {base}

  Watch it in a browser:   {base}/
  Watch it in a terminal:  curl -N {base}/sse/streams

  Make an event (this key is for this start only):

    curl -X POST {base}/api/streams \\
      -H 'Authorization: Bearer {key}' \\
      -H 'Content-Type: application/json' \\
      -d '{{"sender": "{sender}",
           "recipient": "{recipient}",
           "depositAmount": "1000", "ratePerSecond": "0.5"}}'

  How is it?               curl {base}/health
  The API:                 {base}/docs
  To stop:                 Ctrl-C
"""
_SENDER = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"
_RECIPIENT = "GBRPYHIL2CI3FNQ4BXLFMNDLFJUNPU2HY3ZMFSHONUCEOASW7QC7OX2H"


def welcome(host: str, port: int, key: str) -> str:
    """Return the lines to show: ready to paste, with the development key."""
    shown = f"[{host}]" if ":" in host else host
    return _TEXT.format(base=f"http://{shown}:{port}", key=key, sender=_SENDER, recipient=_RECIPIENT)
