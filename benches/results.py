"""What a bench finds, as lines of JSON in the file that `--save` names: `benches/page` makes the tables of
docs/explanation/performance.md from them. Used by the scripts beside this file."""

import json


def add_option(parser):
    parser.add_argument("--save", metavar="FILE", help="add what is found to this file, for benches/page")


def save(options, table, row, peers):
    """Adds a row of a table: `peers` has for each peer its figures, `{name: {figure: number}}`."""
    if options.save:
        with open(options.save, "a") as file:
            file.write(json.dumps({"table": table, "row": row, "peers": peers}) + "\n")


def load(path):
    """All tables: `{table: {row: {peer: {figure: number}}}}`. Of rows that were saved twice, the last."""
    tables = {}
    with open(path) as file:
        for line in file:
            found = json.loads(line)
            tables.setdefault(found["table"], {})[found["row"]] = found["peers"]
    return tables
