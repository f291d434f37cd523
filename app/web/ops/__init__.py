"""What an operator and a browser look at: health, metrics, descriptions, the live page."""
