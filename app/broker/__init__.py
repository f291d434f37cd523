"""The log's events, carried to every process by NATS JetStream instead of by a query of each."""
