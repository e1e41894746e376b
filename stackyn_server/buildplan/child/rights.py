"""Drop the privileges of the child process before it reads tenants' files."""

from __future__ import annotations

import os
import signal

# The user that owns nothing: `nobody` and its group by their numbers, which need no entry in /etc/passwd.
NOBODY = 65_534
_PR_SET_PDEATHSIG = 1
_NICE = 5  # visitors and the API go first


def give_up_rights() -> None:
    """Switch to a user that owns nothing; a process that is not root keeps its user.

    All modules must be imported before: the interpreter may live below a folder that only root can enter.
    """
    os.nice(_NICE)
    os.chdir("/")
    if os.geteuid() != 0:
        return
    import ctypes  # 6 ms, for this call only

    parent = os.getppid()
    set_parent_death_signal = ctypes.CDLL(None, use_errno=True).prctl
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # The kernel clears the signal when a process changes its user, so it is set after that.
    if set_parent_death_signal(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
