"""What happens on the chain: asked of Stellar RPC, and read from its bytes as the core's facts."""
