"""openai clients on several language models of which not all fit on the device.

Usage: llm_turns.py HOST:PORT SECONDS CALLERS MODEL...

Each caller streams short chats from one model after the other. At the end a line of JSON says how
many were answered, how many were not or broke off, and how long they took.
"""

import json
import random
import sys
import threading
import time

import openai


def caller(address, models, until, seed, took, wrong):
    dice, turn = random.Random(seed), seed
    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=300)
    while time.monotonic() < until:
        model, turn = models[turn % len(models)], turn + 1
        began = time.monotonic()
        try:
            messages = [{"role": "user", "content": f"Count from {dice.randrange(100)} to a hundred, in words."}]
            stream = client.chat.completions.create(model=model, messages=messages, stream=True, max_tokens=24)
            chunks = list(stream)
            if len(chunks) < 3 or chunks[-1].choices and not chunks[-1].choices[0].finish_reason:
                wrong.append(f"{model}: broke off after {len(chunks)} chunks")
        except Exception as error:  # whatever a client may raise is a request that was not answered
            wrong.append(f"{model}: {error}")
        took.append(time.monotonic() - began)


def main(address, seconds, callers, *models):
    took, wrong = [], []
    until = time.monotonic() + float(seconds)
    all = [
        threading.Thread(target=caller, args=(address, models, until, seed, took, wrong))
        for seed in range(int(callers))
    ]
    for one in all:
        one.start()
    for one in all:
        one.join()
    took.sort()

    def at(share):
        return round(took[min(int(len(took) * share), len(took) - 1)], 2)

    summary = {"answers": len(took), "wrong": wrong[:5], "wrongCount": len(wrong)}
    print(json.dumps({**summary, "p50": at(0.5), "p99": at(0.99), "max": at(1)}))
    sys.exit(1 if wrong else 0)


main(*sys.argv[1:])
