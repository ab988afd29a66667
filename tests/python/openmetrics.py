"""Reads metrics by the OpenMetrics parser of Prometheus' own client library.

Usage: openmetrics.py HOST:PORT    prints the exemplars, one a line: family, trace, value
"""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"


def main():
    request = urllib.request.Request(f"http://{sys.argv[1]}/metrics", headers={"accept": ACCEPT})
    with urllib.request.urlopen(request) as response:
        kind = response.headers["content-type"]
        text = response.read().decode()
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", kind
    assert text.endswith("\n# EOF\n"), text[-100:]
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(set(names)) == len(names), "a family is there twice"
    assert "tailback_model_requests" in names, names
    for family in families:
        for sample in family.samples:
            if sample.exemplar:
                trace = sample.exemplar.labels["trace_id"]
                print(family.name, trace, sample.exemplar.value)


main()
