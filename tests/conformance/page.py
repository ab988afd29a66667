"""The page of results: written from a run, and read to compare one with it."""

import re
from typing import NamedTuple

from clients import CLIENTS, HTTP, OPENAI, OTHER
from features import FEATURES

OK, FAILS, NONE = "ok", "**fails**", "–"


class Cell(NamedTuple):
    state: str
    # What the client did, why it fails, or why the feature does not apply.
    said: str | None = None

    def __str__(self):
        return f"{self.state} {self.said or ''}".strip()


class Column(NamedTuple):
    client: object
    version: str
    # By feature.
    cells: dict


def title(feature):
    """How a feature's row begins."""
    return f"`{feature.name}`"


def _row(cells):
    return f"| {' | '.join(cells)} |\n"


def _table(head, rows):
    return _row(head) + "|" + "---|" * len(head) + "\n" + "".join(map(_row, rows)) + "\n"


def _joined(names):
    return ", ".join(names)


def _reasons(columns, state):
    """Rows of feature, clients and what they say, for cells of this state."""
    for feature in FEATURES:
        by_reason = {}
        for column in columns:
            cell = column.cells[feature.name]
            if cell.state == state and cell.said:
                by_reason.setdefault(cell.said, []).append(column.client.short)
        for reason, clients in by_reason.items():
            yield title(feature), _joined(clients), reason.replace("|", "\\|").replace("\n", " ")


HEAD = """\
<!-- Written by `make conformance`: do not edit. -->

# Conformance

What real clients get through Tailback. `make conformance` runs each of them against a Tailback with real model servers behind it, and writes this page; a test runs them again and holds the results against it.

- **Model servers**: llama.cpp with SmolLM2-135M (`cold`, `unary`, `stream`, `retry`), MLServer with a scikit-learn model, and the sample server (tensors). No real server fails, waits or adds fields when it is told to, so the other features have an origin that does, and that reports what it was sent. It stands in for Ollama throughout.
- **In flight**: while a stream or a WebSocket is open, the admin API must count one request in flight; whenever the origin works on a request, at least one. Once each feature has been tried, the count must be 0.
- **Results**: `ok`; **fails**, with the reason [below](#what-fails); –, where the feature [does not apply](#what-does-not-apply) to the client.

"""


def text(columns):
    """The page."""
    out = HEAD
    out += "## Clients\n\n"
    rows = []
    for column in columns:
        count = lambda state: str(sum(cell.state == state for cell in column.cells.values()))
        rows.append((column.client.short, column.client.about, column.version, count(OK), count(FAILS), count(NONE)))
    out += _table(("column", "client", "version", "ok", "fails", "–"), rows)
    out += "## Features\n\n"
    out += _table(("feature", "what is tried"), [(title(feature), feature.asks) for feature in FEATURES])
    out += "## Results\n\n"
    for group in (OPENAI, OTHER, HTTP):
        of_group = [column for column in columns if column.client.group == group]
        out += f"### {group}\n\n"
        out += _table(
            ("feature", *(column.client.short for column in of_group)),
            [(title(f), *(column.cells[f.name].state for column in of_group)) for f in FEATURES],
        )
    out += "## What fails\n\n"
    fails = list(_reasons(columns, FAILS))
    out += _table(("feature", "client", "why"), fails) if fails else "Nothing.\n\n"
    out += "## What clients did\n\n"
    out += _table(("feature", "client", ""), _reasons(columns, OK))
    out += "## What does not apply\n\n"
    out += _table(("feature", "client", "why"), _reasons(columns, NONE))
    return out.rstrip("\n") + "\n"


def _states(page):
    """The states on a page, by client and feature."""
    found, head = {}, []
    results = page.split("\n## Results\n", 1)[-1].split("\n## ", 1)[0]
    for line in results.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "feature":
            head = cells[1:]
        elif feature := re.fullmatch("`(.+)`", cells[0]):
            found |= {(client, feature[1]): state for client, state in zip(head, cells[1:], strict=True)}
    return found


def differences(page, columns):
    """What the page says otherwise than a run of these columns, a line each."""
    states = _states(page)
    for column in columns:
        for feature, cell in column.cells.items():
            said = states.get((column.client.short, feature), "nothing")
            if said != cell.state:
                yield f"{column.client.name}: {feature}: {cell}; the page says {said}"
