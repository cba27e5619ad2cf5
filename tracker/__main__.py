"""``python -m tracker``: the same as the command ``tracker``. The supervisor starts its children this way."""

from tracker.cli import main

if __name__ == "__main__":
    main(prog_name="tracker")
