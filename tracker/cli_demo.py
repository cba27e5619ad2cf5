"""The command that makes traffic: demo.

Part of the one door to the terminal: ``cli.py`` and ``cli_*.py`` print, nobody else does.
"""
