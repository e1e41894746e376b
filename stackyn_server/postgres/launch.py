"""Run a command as another user that ends when its parent does. Executed as a script in a child of ours:

    python -I -S launch.py <uid> <gid> <signal> <parent's pid> <folder> <command> [argument ...]

The kernel forgets the parent-death signal when the user changes, so it is set afterwards; a `preexec_fn` would run
in a forked copy of a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PRIVATE = 0o077
_FAILED = 111


def main(arguments: list[str]) -> None:
    uid, gid, death_signal, parent = (int(argument) for argument in arguments[:4])
    folder, *command = arguments[4:]
    if os.geteuid() != uid:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(_PRIVATE)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the parent is gone already")
    os.chdir(folder)
    os.execv(command[0], command)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"FATAL:  {error}\n")
        sys.exit(_FAILED)
