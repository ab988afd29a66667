"""Holds the admin API against docs/reference/openapi.yaml.

Usage: admin_api.py HOST:PORT    a Tailback that serves the model m, with the token 0123456789abcdef
Calls every operation; exits with status 0 if each answer is as described.
"""

import json
import pathlib
import re
import sys

import httpx
import jsonschema
import yaml

ROOT = pathlib.Path(__file__).parents[2]
TOKEN = {"authorization": "Bearer 0123456789abcdef"}


def resolve(document, part):
    while "$ref" in part:
        found = document
        for key in part["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        part = found
    return part


def check(document, operation, response):
    described = operation["responses"].get(str(response.status_code))
    assert described, (operation["operationId"], response.status_code, response.text)
    content = resolve(document, described)["content"]
    kind = response.headers["content-type"].split(";")[0]
    assert kind in content, (operation["operationId"], kind)
    if kind == "application/json":
        schema = {"$ref": content[kind]["schema"]["$ref"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(response.json())

# Answers that do not end, and what their first line has.
STREAMS = {"ledgers": '"instance"', "events": "event: proxy"}


def main():
    base = f"http://{sys.argv[1]}"
    document = yaml.safe_load((ROOT / "docs/reference/openapi.yaml").read_text())
    assert document["openapi"] == "3.1.0"
    client = httpx.Client(base_url=base, timeout=20)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            url = path.replace("{name}", "m").replace("{replica}", "no-such-replica").replace("{request}", "0-0")
            first_line = STREAMS.get(operation["operationId"])
            if first_line:
                with client.stream(method, url) as response:
                    assert response.headers["content-type"] in operation["responses"]["200"]["content"]
                    assert first_line in next(response.iter_lines())
                continue
            if operation.get("security"):
                check(document, operation, client.request(method, url))
                for name in "m", "no-such-model":
                    response = client.request(method, url.replace("/m/", f"/{name}/"), headers=TOKEN)
                    check(document, operation, response)
                continue
            check(document, operation, client.request(method, url))
    # What the API itself says that there is.
    listed = re.findall(r"/[a-z_]+(?:/\{?[a-z]+\}?)*", client.get("/nothing").json()["error"])
    missing = set(listed) - set(document["paths"])
    assert listed and not missing, missing


main()
