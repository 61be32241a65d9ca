"""The command line where disks are slow or full, writes are fatal, and cells kill their workers: python rough.py ARGUMENTS.

STOCHEP_ROUGH, a JSON object, says which. slow: seconds that a flush to disk takes. full: after so many writes the disk is full.
fatal: [number, call] of the write within whose call, "fsync" or "replace", the process is killed. killer: a temperature whose cells
kill their workers. once: one whose cells do so once; marks: a folder where they leave a file then.
Started workers run the lines at the top of this file too.
"""

import errno
import json
import os
import signal
import sys
import time
from pathlib import Path

from figures.sweep import worker

ROUGH = json.loads(os.environ["STOCHEP_ROUGH"])
compute, fsync, replace = worker.compute, os.fsync, os.replace
written = 0


def compute_or_die(cell):
    if cell.temperature == ROUGH.get("killer"):
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.temperature == ROUGH.get("once") and not (mark := Path(ROUGH["marks"], cell.name)).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(cell)


def rough_fsync(handle):
    global written
    written += 1
    if written > ROUGH.get("full", written):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if ROUGH.get("fatal") == [written, "fsync"]:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(ROUGH.get("slow", 0.0))
    fsync(handle)


def rough_replace(source, target):
    if ROUGH.get("fatal") == [written, "replace"]:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)


# found by its name in the workers
compute_or_die.__module__, compute_or_die.__qualname__ = worker.__name__, "compute"
worker.compute, os.fsync, os.replace = compute_or_die, rough_fsync, rough_replace

if __name__ == "__main__":
    import stochep

    sys.exit(stochep.run(sys.argv[1:]))
