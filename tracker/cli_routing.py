"""The commands about the routing table: check, explain, routes, reload, sign-url.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""
