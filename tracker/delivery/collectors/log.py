"""The log collector: events as lines of NDJSON, each exactly once, in files that rotate.

Promise
* A line is the journal's own line, so it carries ``(stream, seq)``. Within a stream lines come in order, so the
  highest ``seq`` of each stream in the files says what is there already; a batch that comes again is skipped up to it.
  The files themselves are this collector's cursor: nothing else has to be right for "exactly once".
* Every line of every file is whole at every instant, except the last one of the live file while it is written.
* Whatever kills the process at whatever instruction: each delivered event stands in the files once.

How
1. ``memory.json`` (in the collector's own folder) says: in the file of this inode, up to this size, these were the
   highest seqs. On opening, only what is past that size is read. A file of another inode is read whole, and so is
   what was past the size in the file we knew, if it is still in the same folder under another name.
2. A torn last line is cut off; its event comes again, because ``deliver`` had not returned.
3. A failed write is cut back to where the batch began, before anything else is written.
4. A rotation saves the memory, renames, begins the new file, saves the memory. A death in between is rule 1.

Not exact: standard output, which cannot be read back (after a kill, up to a second of lines may come twice); a file
that somebody else cuts (``copytruncate``) or removes. To have everything written again, remove ``memory.json`` too.
"""

from __future__ import annotations

import enum
import fcntl
import importlib.util
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import msgspec

from tracker import disk
from tracker.delivery.plugin import Item, Place, Rejection, RetryLater
from tracker.delivery.rotation import Compress, Rotation, opened

log = logging.getLogger("tracker.delivery")

Natural = Annotated[int, msgspec.Meta(ge=0)]

STANDARD_OUTPUT: Final = "-"
SAVE_EVERY_S: Final = 1.0
"""How old the memory on disk may be while lines are written: it bounds what a start has to read."""
MAX_STREAMS: Final = 4096
"""Streams remembered, the latest written ones: sixteen times ``ring.max_slots``."""
_BLOCK: Final = 1 << 20
_LINE_BEGINS: Final = b'{"id":"'


class Fsync(enum.Enum):
    """When lines are made to survive a power cut. A death of processes costs nothing at either."""

    NEVER = "never"
    """The kernel writes when it likes. A power cut may take the lines of about the last half minute out of the files;
    the journal still has them."""
    COMMIT = "commit"
    """fdatasync before a batch counts as delivered. A power cut costs nothing that the journal still has; each batch
    costs a sync."""


class LogOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the log collector."""

    file: str = "events.ndjson"
    """The live file: absolute, or relative to ``DATA/log``. Its name never changes; ``-`` is standard output."""
    rotate_bytes: Natural = 268_435_456
    """A line that would make the live file larger begins a new one; 0: never."""
    rotate_every_s: Natural = 86_400
    """The first line past a multiple of this time begins a new file (86400: midnight UTC); 0: never."""
    compress: Compress = Compress.NONE
    """Compress rotated files in the background: ``none``, ``gzip`` or ``zstd``."""
    keep: Natural = 0
    """How many rotated files stay, the newest; 0: all."""
    fsync: Fsync = Fsync.COMMIT
    """``commit``: sync before a batch counts. ``never``: a power cut may take the last half minute out of the files."""

    def __post_init__(self) -> None:
        if not self.file or self.file.endswith("/") or "\0" in self.file:
            raise ValueError("file: name a file, such as `events.ndjson`, or `-` for standard output")
        if self.compress is Compress.ZSTD and importlib.util.find_spec("zstandard") is None:
            raise ValueError("compress: zstd needs another library: pip install 'tracker[zstd]'")


class _Memory(msgspec.Struct, kw_only=True):
    """What the files hold, as far as it need not be read from them."""

    format: Literal[1] = 1
    device: int = 0
    inode: int = 0
    """The live file; 0: none known."""
    size: int = 0
    """Up to here its lines are in ``seqs``."""
    born_s: float = 0.0
    """Unix time at which it was begun."""
    before: dict[str, int] = {}
    """Highest seq by stream when it was begun."""
    seqs: dict[str, int] = {}
    """Highest seq by stream now, the latest written stream last."""


class _Mark(msgspec.Struct, gc=False):
    stream: str = ""
    seq: int = 0


_MARK = msgspec.json.Decoder(_Mark)


class LogCollector:
    """Writes events to a file, or to standard output."""

    Options: ClassVar[type[LogOptions]] = LogOptions

    def __init__(self, options: LogOptions, place: Place) -> None:
        self._options = options
        self._path = Path(os.path.realpath(place.data_dir / "log" / options.file))
        self._printing = options.file == STANDARD_OUTPUT
        self.target = "standard output" if self._printing else str(self._path)
        """What it writes to; two collectors with the same one are an error in the settings."""
        self._memory_path = place.state_dir / "memory.json"
        self._memory = _Memory()
        self._saved_at = 0.0
        self._fd = -1
        self._cut_due = False  # a failed batch is still in the file
        self._rest = b""  # what standard output did not take of a line it began
        self._rotation = Rotation(self._path, options.compress, options.keep)

    def open(self) -> None:
        """Find out what the files hold. Raises ``RetryLater`` if they cannot be written."""
        try:
            if self._fd < 0:
                self._memory = self._load()
            if not self._printing:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                if self._fd < 0:
                    self._attach()
                self._rotation.tidy_soon()  # what a death left over
        except OSError as error:
            raise RetryLater(f"{self.target}: {error.strerror or error}") from error

    def deliver(self, batch: Sequence[Item]) -> Sequence[Rejection]:
        """Write what is not there yet. Never rejects. Raises ``RetryLater`` on any error of the disk."""
        try:
            if self._printing:
                self._print(list(self._fresh(batch)))
            else:
                self._write(batch)
            if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
                self._save()
        except OSError as error:
            raise RetryLater(f"{self.target}: {error.strerror or error}") from error
        return ()

    def close(self) -> None:
        """Save the memory and let go of the file; compression under way is given up and done again later."""
        self._rotation.stop()
        try:
            if self._cut_due:
                self._cut_back()
            if self._saved_at:
                self._save()
        except OSError as error:
            log.warning("%s: not closed in order: %s", self.target, error)
        finally:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    # --- what is there already

    def _fresh(self, batch: Sequence[Item]) -> Iterator[Item]:
        """The items that do not stand in the files."""
        known = dict(self._memory.seqs)
        for item in batch:
            stream, seq = item.event.stream, item.event.seq
            if seq:  # without a position nobody can tell
                if seq <= known.get(stream, 0):
                    continue
                known[stream] = seq
            yield item

    def _remember(self, items: Iterable[Item]) -> None:
        seqs = self._memory.seqs
        for stream, seq in {event.stream: event.seq for event, _ in items if event.seq}.items():
            seqs.pop(stream, None)
            seqs[stream] = seq
        while len(seqs) > MAX_STREAMS:
            del seqs[next(iter(seqs))]

    def _load(self) -> _Memory:
        try:
            return msgspec.json.decode(self._memory_path.read_bytes(), type=_Memory)
        except FileNotFoundError:
            pass
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.warning("%s cannot be used and is made anew from the files: %s", self._memory_path, error)
        return _Memory()

    def _save(self) -> None:
        disk.replace(self._memory_path, msgspec.json.encode(self._memory))
        self._saved_at = time.monotonic()

    # --- the live file

    def _write(self, batch: Sequence[Item]) -> None:
        self._settle()
        limit, size = self._options.rotate_bytes, self._memory.size
        items: list[Item] = []
        for item in self._fresh(batch):
            if limit and size and size + len(item.line) > limit:
                self._append(items)
                self._rotate()
                items, size = [], self._memory.size
            items.append(item)
            size += len(item.line)
        self._append(items)

    def _settle(self) -> None:
        """Make sure that the live file is ours, whole, and not due for rotation."""
        memory, every = self._memory, self._options.rotate_every_s
        if self._cut_due:
            self._cut_back()
        held = os.fstat(self._fd)
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            named = None
        if named is None or not os.path.samestat(held, named):  # moved away or removed
            self._attach()
        elif held.st_size < memory.size:
            log.warning("%s was cut by somebody else; lines may be missing", self._path)
            memory.size, memory.before, memory.born_s = self._learn(self._fd, 0), dict(memory.seqs), time.time()
        elif held.st_size > memory.size:
            memory.size = self._learn(self._fd, memory.size)
        if not memory.size:
            memory.born_s = time.time()
        if every and time.time() // every > memory.born_s // every:
            self._rotate()

    def _attach(self) -> None:
        """Open the live file, learn what it holds, and save that. May be called again after an error.

        The one before stays open until then: its inode cannot be given to another file meanwhile.
        """
        memory = self._memory
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RetryLater(f"{self._path} is being written by another process") from error
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != (memory.device, memory.inode):
                self._learn_left()
                memory.device, memory.inode, memory.size = status.st_dev, status.st_ino, 0
                memory.before = dict(memory.seqs)
                memory.born_s = status.st_mtime if status.st_size else time.time()
            elif status.st_size < memory.size:
                log.error("%s is shorter than what had been written: lines are missing (a power cut?)", self._path)
                memory.seqs, memory.size = dict(memory.before), 0
            memory.size = self._learn(fd, memory.size)
            if self._options.fsync is Fsync.COMMIT:
                disk.sync_folder(self._path.parent)
            self._save()
        except BaseException:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd

    def _learn_left(self) -> None:
        """Learn from the file that we wrote last and that is not the live one any more, if it is still here."""
        memory = self._memory
        if not memory.inode:
            for newest in self._rotation.files()[-1:]:
                with opened(newest.path) as source:
                    while content := source.read(_BLOCK):
                        self._note(content + source.readline())
            return
        with os.scandir(self._path.parent) as entries:
            for entry in entries:
                if entry.inode() == memory.inode and entry.stat().st_dev == memory.device:
                    fd = os.open(entry.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
                    try:
                        self._learn(fd, memory.size if os.fstat(fd).st_size >= memory.size else 0)
                    finally:
                        os.close(fd)
                    return

    def _learn(self, fd: int, start: int) -> int:
        """Note the whole lines from ``start`` on and cut off a torn last one; returns where the file ends then."""
        end = at = start
        torn: list[bytes] = []
        while block := os.pread(fd, _BLOCK, at):
            newline = block.rfind(b"\n") + 1
            if newline:
                self._note(b"".join([*torn, block[:newline]]))
                torn, end = [], at + newline
            if len(torn) < 64:  # 64 MiB without a newline: no line of ours
                torn.append(block[newline:])
            at += len(block)
        if at > end:
            begins = b"".join(torn)[: len(_LINE_BEGINS)].rstrip(b"\0")
            if _LINE_BEGINS.startswith(begins):
                os.ftruncate(fd, end)
            else:
                os.write(fd, b"\n")  # not ours to cut
                end = at + 1
        if self._options.fsync is Fsync.COMMIT:
            os.fdatasync(fd)  # whoever wrote these lines may have died before he did
        return end

    def _note(self, content: bytes) -> None:
        seqs = self._memory.seqs
        for line in content.split(b"\n"):
            try:
                mark = _MARK.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue  # empty, or not ours
            if mark.stream and mark.seq > seqs.get(mark.stream, 0):
                seqs[mark.stream] = mark.seq

    def _append(self, items: Sequence[Item]) -> None:
        """Write the lines, all or none."""
        if not items:
            return
        content = b"".join([line for _, line in items])
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._fd, view) :]
            if self._options.fsync is Fsync.COMMIT:
                # After an error the kernel may take the pages for clean: they are cut off and written anew.
                os.fdatasync(self._fd)
        except OSError:
            self._cut_due = True
            self._cut_back()
            raise
        self._memory.size += len(content)
        self._remember(items)

    def _cut_back(self) -> None:
        if os.fstat(self._fd).st_size > self._memory.size:
            os.ftruncate(self._fd, self._memory.size)
        self._cut_due = False

    def _print(self, items: Sequence[Item]) -> None:
        """Standard output cannot be cut back: a line that it began is ended first, the next time."""
        content = self._rest + b"".join([line for _, line in items])
        begun = len(self._rest)
        done = count = 0
        try:
            while done < len(content):
                done += os.write(1, memoryview(content)[done:])
        finally:
            while count < len(items) and begun < done:
                begun += len(items[count].line)
                count += 1
            self._rest = content[done:begun]
            self._remember(items[:count])

    def _rotate(self) -> None:
        self._save()
        os.rename(self._path, self._rotation.next_path())
        disk.sync_folder(self._path.parent)
        self._attach()
        self._rotation.tidy_soon()
