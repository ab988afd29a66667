"""Chats of several turns that share a system prompt, with a real model.

Usage: chats.py HOST:PORT CHATS TURNS [AT_ONCE]. Prints what the replicas said of their caches, and how
long the first token took, as JSON.
"""

import concurrent.futures
import json
import statistics
import sys
import time

import openai

address, chats, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
at_once = int(sys.argv[4]) if len(sys.argv) > 4 else 3
client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=300)
model = client.models.list().data[0].id
SYSTEM = "You answer questions about a small town, its people and its history. " * 30


def ask(messages):
    began = time.monotonic()
    first, text, usage = None, "", None
    for event in client.chat.completions.create(
        model=model,
        messages=messages,
        max_tokens=8,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    ):
        if event.choices and event.choices[0].delta.content:
            first = first or time.monotonic() - began
            text += event.choices[0].delta.content
        usage = event.usage or usage
    details = usage.prompt_tokens_details
    return text, first or 0.0, usage.prompt_tokens, (details and details.cached_tokens) or 0


def chat(number):
    messages = [{"role": "system", "content": SYSTEM}]
    rows = []
    for turn in range(turns):
        question = f"This is person {number}, with question {turn}. " + "Tell me about the mill. " * 20
        messages.append({"role": "user", "content": question})
        text, *row = ask(messages)
        messages.append({"role": "assistant", "content": text})
        rows.append(row)
    return rows


with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
    rows = [row for rows in pool.map(chat, range(chats)) for row in rows]
print(
    json.dumps(
        {
            "requests": len(rows),
            "first_token_seconds": statistics.mean(row[0] for row in rows),
            "first_token_median_seconds": statistics.median(row[0] for row in rows),
            "prompt_tokens": sum(row[1] for row in rows),
            "cached_tokens": sum(row[2] for row in rows),
        }
    )
)
