"""What Hypercorn needs to be told."""
