"""Refuse, in one sentence, an interpreter that cannot run the tracker or make its environment.

Written in the Python that every interpreter since 2.7 reads, so that an old one gets the sentence and no traceback.
"""

import sys
import sysconfig


def refusal():
    """Why this interpreter will not do, or an empty string."""
    version = "{}.{}".format(*sys.version_info)
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        return "The tracker runs on Python 3.11 to 3.14; {} is {}.".format(sys.executable, version)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return (
            "The tracker does not run on free-threaded builds yet: its ring counts on the GIL to make a store of eight"
            " bytes one store. {} is one; take the usual build of {}.".format(sys.executable, version)
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return (
            "{} has no venv module, so no environment can be made. On Debian and Ubuntu:"
            " apt-get install python{}-venv".format(sys.executable, version)
        )
    return ""


if __name__ == "__main__":
    sys.exit(refusal() or 0)
