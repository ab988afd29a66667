"""Processes that are started here, and never left behind."""

import os
import signal
import subprocess

_running = set()


def start(command, **more):
    """A process in a group of its own: a terminal's Ctrl-C reaches this program alone, which ends it."""
    child = subprocess.Popen(command, start_new_session=True, **more)
    _running.add(child)
    return child


def end(child, ask=signal.SIGTERM):
    """Asks it to end, and ends it with its group if it does not."""
    if ask and child.poll() is None:
        child.send_signal(ask)
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    _running.discard(child)


def end_all(*_):
    """What a signal to this program brings about."""
    for child in list(_running):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
    os._exit(1)


for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end_all)
