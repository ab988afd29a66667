"""Renders deploy/helm/tailback with Helm's own engine, and writes deploy/manifests by it.

    make manifests

Helm comes as a Python package that has Helm 4 compiled in (scripts/setup deploy), so no helm
command is needed.
"""

import pathlib
import sys

import helm_python
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/helm/tailback"
PLAIN = ROOT / "deploy/manifests"

# Helm's own labels would be untrue of what `kubectl apply` made.
OF_HELM = ("helm.sh/chart:", "app.kubernetes.io/managed-by:", "# Source:")
NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: tailback
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def install(values, name="tailback", namespace="tailback", chart=CHART):
    """What `helm install --dry-run=client` would: its manifest and its notes."""
    with helm_python.Config(namespace=namespace, storage_driver="memory") as config:
        release = config.install(chart, name, values, dry_run="client")
    return release["manifest"], release["notes"]


def documents(manifest):
    return [document for document in yaml.safe_load_all(manifest) if document]


def values_of(path):
    return yaml.safe_load(path.read_text()) or {}


def plain():
    """The files of deploy/manifests, by name: the chart with its defaults."""
    header = "# Made by `make manifests` from deploy/helm/tailback.\n"
    manifest, _ = install({})
    lines = [line for line in manifest.splitlines() if not line.strip().startswith(OF_HELM)]
    # In Helm's order: what others need comes first.
    parts = [part.strip().removeprefix("---\n") for part in "\n".join(lines).split("\n---\n")]
    models = [part for part in parts if "\nkind: ConfigMap\n" in part]
    rest = [part for part in parts if part not in models]
    return {
        "00-namespace.yaml": header + NAMESPACE,
        "10-models.yaml": header + "# Yours to fill: what is served.\n" + "\n".join(models) + "\n",
        "20-tailback.yaml": header + "\n---\n".join(rest) + "\n",
    }


def write():
    PLAIN.mkdir(parents=True, exist_ok=True)
    for name, text in plain().items():
        (PLAIN / name).write_text(text)


if __name__ == "__main__":
    if sys.argv[1:] != ["manifests"]:
        sys.exit("usage: chart.py manifests")
    write()
