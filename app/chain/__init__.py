"""What happens on the chain: read from Stellar RPC, told as events."""
