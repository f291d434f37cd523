"""Groups of commands.

Each imports what it needs when it runs: a client has less installed than the service.
"""
