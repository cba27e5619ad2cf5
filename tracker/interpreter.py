"""Whether this interpreter may run the tracker. It is asked before anything else of the tracker is imported.

Written so that an interpreter too old for the rest still gets its sentence and no traceback.
"""

from __future__ import annotations

import sys
import sysconfig

OLDEST = (3, 11)
NEWEST = (3, 14)
"""The newest minor version that the tests have run on; a newer one is let pass at one's own risk by pip alone."""


def refusal(version: tuple[int, int] | None = None, gil: bool | None = None) -> str:
    """Why this interpreter will not do, as one sentence; empty if it will. The arguments stand in for it in tests."""
    found = version or sys.version_info[:2]
    if gil is None:
        gil = not sysconfig.get_config_var("Py_GIL_DISABLED") and getattr(sys, "_is_gil_enabled", lambda: True)()
    name = f"{found[0]}.{found[1]}"
    if found < OLDEST:
        range_ = ".".join(map(str, OLDEST)) + " to " + ".".join(map(str, NEWEST))
        return f"The tracker needs Python {range_}; {sys.executable} is {name}."
    if not gil:
        # The ring's publish is one store because the interpreter lock orders it: see capture/ring.py, invariant 4.
        return (
            "The tracker does not run on free-threaded builds yet: its ring counts on the GIL to order its stores. "
            f"{sys.executable} is one; take the usual build of Python {name} (python{name}, not python{name}t)."
        )
    return ""
