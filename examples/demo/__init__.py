"""A treasury that pays by the second, as a newcomer sees it first: `make demo`."""
