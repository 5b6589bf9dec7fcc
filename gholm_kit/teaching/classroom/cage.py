"""Runs code that nobody has read: in a process of its own, with limits, and where Linux allows it in a cage.

In the cage (user, mount, process, network and IPC namespaces; none needs root) everything is read-only except an
empty folder in memory, the hand-ins are not there, no other process can be seen or signalled, there is no network,
and all that the code started ends with it. Elsewhere :func:`unlimited` says what is missing.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

_BOOT = (
    "import json, sys; order = json.loads(sys.stdin.buffer.read()); sys.path[:] = order['path']; "
    "from gholm_kit.teaching.classroom import cage; cage.inside(order)"
)
_TOO_MANY, _TOO_LARGE = 201, 202  # exit status of a process that its guard ended
_LOOKS = 0.1  # seconds between two looks of the guard


@dataclass(frozen=True)
class Limits:
    """Of one process: seconds for each answer, with the start; memory in GiB; processes; bytes that it may say."""

    seconds: float = 20.0
    memory: float = 4.0
    processes: int = 32
    output: int = 2**25

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}")


@dataclass(frozen=True)
class Ended:
    """What a process said, a line an answer, and why no further line came; "" if it ended by itself as it should."""

    lines: list[bytes]
    why: str


# ---------------------------------------------------------------------- outside


def run(module: str, job: Any, limits: Limits, caged: bool, hidden: Sequence[Path] = ()) -> Ended:
    """Run ``module.main(job, say)`` in a process of its own and collect what it says.

    caged   in the cage, see :func:`works`
    hidden  folders that it must not see, in the cage
    """
    with tempfile.TemporaryDirectory(prefix="gholm-", ignore_cleanup_errors=True) as scratch:
        order = {
            "path": [p for p in sys.path if p],
            "module": module,
            "job": job,
            "limits": asdict(limits),
            "scratch": scratch,
            "hidden": [str(p.resolve()) for p in hidden],
            "caged": caged,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=scratch,
            env=_environment(scratch),
            start_new_session=True,
        )
        try:
            return _listen(process, json.dumps(order).encode(), limits)
        finally:
            _end(process)


def _environment(home: str) -> dict[str, str]:
    """A new home, and nothing else of the user's: no tokens, no settings."""
    kept = {k: os.environ[k] for k in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if k in os.environ}
    own = {k: home for k in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR")}
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MKL_NUM_THREADS": "1"}
    return kept | own | threads | {"MPLBACKEND": "Agg", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}


def _listen(process: subprocess.Popen[bytes], order: bytes, limits: Limits) -> Ended:
    """Collect lines until the process ends, says too much, or is silent for too long."""
    heard: queue.Queue[bytes | None] = queue.Queue()
    ear = threading.Thread(target=_hear, args=(process, order, heard, limits.output), daemon=True)
    ear.start()
    data, since = b"", time.monotonic()
    while True:
        try:
            piece = heard.get(timeout=_LOOKS)
        except queue.Empty:
            if process.poll() is not None:  # also if something that it started still holds the pipe
                ear.join(1.0)
                if heard.empty():
                    return Ended(data.split(b"\n")[:-1], _why(process.returncode, limits))
            elif time.monotonic() - since > limits.seconds:
                return Ended(data.split(b"\n")[:-1], f"took longer than {limits.seconds:g} s")
            continue
        if piece is None:
            process.wait()
            return Ended(data.split(b"\n")[:-1], _why(process.returncode, limits))
        data += piece
        since = time.monotonic() if b"\n" in piece else since
        if len(data) > limits.output:
            return Ended(data.split(b"\n")[:-1], f"handed over more than {limits.output >> 20} MiB")


def _hear(
    process: subprocess.Popen[bytes], order: bytes, heard: queue.Queue[bytes | None], most: int
) -> None:
    with suppress(OSError, ValueError):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(order)
        process.stdin.close()
        total = 0
        while total <= most and (piece := os.read(process.stdout.fileno(), 2**16)):
            total += len(piece)
            heard.put(piece)
    heard.put(None)


def _why(status: int, limits: Limits) -> str:
    if status == _TOO_MANY:
        return f"started more than {limits.processes} processes"
    if status in (_TOO_LARGE, 128 + 9, -9):
        return f"was ended, most likely for taking more than {limits.memory:g} GiB of memory"
    if status == 0:
        return ""
    number = -status if status < 0 else status - 128
    with suppress(ValueError):
        return f"crashed ({signal.Signals(number).name})"
    return f"ended itself with status {status}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all of its group; in the cage, everything that it ever started."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


@lru_cache(maxsize=1)
def works() -> bool:
    """Whether this machine has the cage."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return False
    return run(__name__, None, Limits(seconds=60), caged=True).lines == [b"true"]


def main(job: Any, say: Callable[[Any], None]) -> None:
    """The job of :func:`works`: say whether nothing can be written."""
    say(bool(os.statvfs("/").f_flag & os.ST_RDONLY))


def unlimited() -> list[str]:
    """What code that runs here is not kept from, in sentences; [] if nothing is missing."""
    found = []
    if not works():
        found.append(
            "this machine has no cage (it needs Linux with user namespaces): what a student wrote can read and "
            "delete what you can, use the network, and signal your other processes. Grade on a machine or in a "
            "container that you can lose, or read the code first"
        )
    if not hasattr(os, "fork"):
        found.append(
            "Windows limits neither memory nor files nor the number of processes, only time and output"
        )
    elif os.geteuid() == 0:
        found.append("you are root, whom file permissions do not stop: grade as an ordinary user")
    return found


# ---------------------------------------------------------------------- inside


def inside(order: Mapping[str, Any]) -> None:
    """In the new process: the limits, the cage, a guard, and then the module's main."""
    if not hasattr(os, "fork"):
        return _work(order)
    limits = Limits(**order["limits"])
    _limit(limits, answers=len((order["job"] or {}).get("exercises", ())) + 1)
    caged = order["caged"] and sys.platform == "linux" and _unshare()
    if caged:
        _set_limit("RLIMIT_NPROC", 8 * limits.processes)  # counted in the cage alone; threads count as well
        _mount(order["scratch"], order["hidden"])
    guard = os.fork()
    if guard:  # outside the cage's process namespace: whoever kills its parent from inside meets the guard
        os._exit(_status(os.waitpid(guard, 0)[1]))
    if caged:
        _die_with_parent()
        _call("mount", b"proc", b"/proc", b"proc", 0, None)
    student = os.fork()
    if student:
        _guard(student, limits, caged)
    if caged:
        _drop_rights()
    _work(order)
    os._exit(0)


def _work(order: Mapping[str, Any]) -> None:
    """Standard output becomes the way for answers only; what the student prints goes nowhere."""
    channel = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.chdir(order["scratch"])

    def say(value: Any) -> None:
        channel.write(json.dumps(value).encode() + b"\n")
        channel.flush()

    import_module(order["module"]).main(order["job"], say)


def _limit(limits: Limits, answers: int) -> None:
    _set_limit(
        "RLIMIT_DATA", int(limits.memory * 2**30)
    )  # not RLIMIT_AS: PyTorch's libraries map several GiB
    _set_limit("RLIMIT_FSIZE", 2**26)
    _set_limit("RLIMIT_NOFILE", 256)
    _set_limit("RLIMIT_CORE", 0)
    _set_limit(
        "RLIMIT_CPU", int(limits.seconds * answers) + 60
    )  # should the grader end before it can end this


def _set_limit(name: str, value: int) -> None:
    import resource

    with suppress(
        ValueError, OSError, AttributeError
    ):  # a lower limit is set already, or the system has none
        resource.setrlimit(getattr(resource, name), (value, value))


def _guard(student: int, limits: Limits, caged: bool) -> NoReturn:
    """Wait for the student's process; end all if there are too many processes, or they take too much together."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == student:
            os._exit(_status(status))
        if not pid:
            if caged:
                _count(limits)
            time.sleep(_LOOKS / 2)


def _status(status: int) -> int:
    """What ``waitpid`` tells, as an exit status; after a signal 128 + its number, as shells have it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _count(limits: Limits) -> None:
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    if len(pids) > limits.processes + 2:
        os._exit(_TOO_MANY)
    pages = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
            pages += resident - shared
    if pages * os.sysconf("SC_PAGE_SIZE") > limits.memory * 2**30:
        os._exit(_TOO_LARGE)


# ---------------------------------------------------------------------- Linux

_NEW = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount, IPC, user, process, network
_PRIVATE = 0x4000 | 0x40000  # MS_REC | MS_PRIVATE
_BARE = 2 | 4  # MS_NOSUID | MS_NODEV
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user")]


def _call(name: str, *args: Any) -> None:
    """A function of the C library; raises OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*args):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _unshare() -> bool:
    """New namespaces with the same user; False where the system does not allow them."""
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", _NEW)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False
    return True


def _mount(scratch: str, hidden: Sequence[str]) -> None:
    """Everything read-only, an empty folder in memory to write to, and empty folders over what is hidden."""
    _call("mount", None, b"/", None, _PRIVATE, None)
    for folder in hidden:
        _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", _BARE, b"size=4k")
    _call("mount", b"tmpfs", os.fsencode(scratch), b"tmpfs", _BARE, b"size=256m,mode=700")
    _set_attributes("/", _MountAttributes(set=_READ_ONLY), _AT_RECURSIVE)
    _set_attributes(scratch, _MountAttributes(clear=_READ_ONLY), 0)


def _set_attributes(path: str, attributes: _MountAttributes, how: int) -> None:
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    number, folder = ctypes.c_long(_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD)
    _call("syscall", number, folder, os.fsencode(path), ctypes.c_uint(how), ctypes.byref(attributes), size)


def _die_with_parent() -> None:
    _call("prctl", 1, ctypes.c_ulong(signal.SIGKILL))  # PR_SET_PDEATHSIG


def _drop_rights() -> None:
    """Give up what a new user namespace gives its first process, for good: the mounts cannot be changed back."""
    for right in range(64):
        with suppress(OSError):  # the kernel has fewer
            _call("prctl", 24, ctypes.c_ulong(right))  # PR_CAPBSET_DROP
    zero = ctypes.c_ulong(0)
    _call("prctl", 38, ctypes.c_ulong(1), zero, zero, zero)  # PR_SET_NO_NEW_PRIVS
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _call("capset", header, none)
