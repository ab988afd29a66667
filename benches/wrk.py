"""Load by HTTP/1.1, with wrk. Used by the scripts beside this file."""

import json
import subprocess

from lab import LOAD_CORE

SCRIPT = """
%s
done = function(summary, latency)
  io.write(string.format('\\n{"requests":%%d,"seconds":%%f,"p50":%%f,"p99":%%f,"failed":%%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout))
end
"""


def script(folder, body=None, **headers):
    """Writes what wrk is to send: a GET, or a POST of `body`, a text or a number of bytes. Returns the file."""
    lines = [f'wrk.headers["{name.replace("_", "-")}"] = "{value}"' for name, value in headers.items()]
    if body is not None:
        text = f'string.rep("x", {body})' if isinstance(body, int) else f"[==[{body}]==]"
        lines += ['wrk.method = "POST"', f"wrk.body = {text}", 'wrk.headers["Content-Type"] = "application/json"']
    path = folder / "load.lua"
    path.write_text(SCRIPT % "\n".join(lines))
    return path


def load(port, path, connections, seconds, lua, scheme="http"):
    """Sends requests for so long. Returns how many were answered and failed, and how long they took."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["--timeout", "30s", "-s", str(lua), f"{scheme}://127.0.0.1:{port}{path}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def measure(process, seconds, **what):
    """`load` on a proxy, with the CPU time of a request, and requests a second."""
    load(process.port, seconds=1, **what)
    before = process.cpu()
    row = load(process.port, seconds=seconds, **what)
    row["cpu"] = (process.cpu() - before) / max(row["requests"], 1)
    row["rate"] = row["requests"] / row["seconds"]
    return row
