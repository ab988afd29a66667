"""Tries features of Tailback with real clients, and writes or checks the page that says what came of it.

Usage: run.py TAILBACK [--page FILE | --check FILE] [--clients NAME,…] [--features NAME,…]
       run.py --list

    TAILBACK   the built program, with sample-server beside it
    --page     write the page
    --check    compare with the page; status 1 and the differences if it says something else
    --clients, --features
               only these; with --check, or to look at one that fails
    --list     print, as JSON, the clients and features that a page must have

`scripts/setup tests` installs the clients first.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import page
import processes
from clients import CLIENTS
from features import FEATURES, NAMES
from stage import Broken, Stage

# How long one feature may take with one client, a server's start included.
LONGEST = 90


class Adapter:
    """A running adapter: see `adapters/adapter.py`."""

    def __init__(self, client, stage):
        self.child = processes.start(
            [*client.command(), stage.address],
            # Where a browser finds a page.
            env={**os.environ, "ORIGIN_PORT": str(stage.origin.port)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
            text=True,
        )
        self.lines = queue.Queue()
        # It waits for the next feature, as far as is known.
        self.in_step = True
        threading.Thread(target=self._read, daemon=True).start()
        self.about = self.line()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def line(self):
        """The next line; an exception if none comes."""
        try:
            line = self.lines.get(timeout=LONGEST)
        except queue.Empty:
            raise Broken(f"no answer within {LONGEST} s") from None
        if line is None:
            raise Broken("the client's program has ended")
        return line

    def say(self, **line):
        self.child.stdin.write(json.dumps(line) + "\n")
        self.child.stdin.flush()

    def close(self):
        """Ends it, and what it has started."""
        self.child.stdin.close()
        processes.end(self.child, ask=None)


def tried(adapter, stage, feature):
    """Tries one feature: the state of its cell, and the note or the reason."""
    line = {}
    try:
        arrived, _ = stage.counts()
        adapter.say(feature=feature.name)
        while "in_flight" in (line := adapter.line()):
            stage.expect_in_flight(line["in_flight"])
            adapter.say(checked=True)
        stage.check_end(arrived, feature.arrives and line["ok"])
    except Broken as broken:
        # It may still be at it, and is not asked again.
        adapter.in_step = "ok" in line
        return page.Cell(page.FAILS, line.get("why") or str(broken))
    return page.Cell(page.OK, line.get("note")) if line["ok"] else page.Cell(page.FAILS, line["why"])


def column(client, tailback, only):
    """Everything that one client shows."""
    stage = Stage(tailback, client.mlserver)
    adapter = None
    try:
        adapter = Adapter(client, stage)
        about, cells = adapter.about, {}
        has, without = set(about["has"]), about["without"]
        if wrong := has & set(without) | set(NAMES) ^ (has | set(without)):
            raise SystemExit(f"{client.name}: an adapter has each feature or says why not, once: {sorted(wrong)}")
        for feature in FEATURES:
            if feature.name in without:
                cells[feature.name] = page.Cell(page.NONE, without[feature.name] or feature.otherwise)
            elif feature.name in only:
                cells[feature.name] = tried(adapter, stage, feature)
                print(f"{client.name}: {feature.name}: {cells[feature.name]}", flush=True)
                if not adapter.in_step:
                    adapter.close()
                    adapter = Adapter(client, stage)
        return page.Column(client, about["version"], cells)
    except BaseException:
        print(stage.said(), file=sys.stderr)
        raise
    finally:
        if adapter:
            adapter.close()
        stage.close()


def chosen(text, known):
    names = text.split(",") if text else known
    if unknown := set(names) - set(known):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return names


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("tailback", nargs="?")
    for option in ("--page", "--check", "--clients", "--features"):
        arguments.add_argument(option)
    arguments.add_argument("--list", action="store_true")
    given = arguments.parse_args()
    if given.list:
        titles = [page.title(feature) for feature in FEATURES]
        return print(json.dumps({"clients": [client.short for client in CLIENTS], "features": titles}))
    if not given.tailback:
        arguments.error("which tailback?")
    names = chosen(given.clients, [client.name for client in CLIENTS])
    only = chosen(given.features, NAMES)
    if given.page and (given.clients or given.features):
        arguments.error("a page has all clients and all features")
    clients = [client for client in CLIENTS if client.name in names]
    with ThreadPoolExecutor(2) as pool:
        columns = list(pool.map(lambda client: column(client, given.tailback, only), clients))
    if given.page:
        Path(given.page).write_text(page.text(columns))
    if given.check:
        differences = list(page.differences(Path(given.check).read_text(), columns))
        print("\n".join(differences))
        return 1 if differences else 0
    return 0


sys.path.insert(0, str(Path(__file__).parent))
if __name__ == "__main__":
    sys.exit(main())
