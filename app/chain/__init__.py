"""From the bytes of Stellar RPC to the core's facts: XDR, StrKey, the contract's catalogue of topics."""
