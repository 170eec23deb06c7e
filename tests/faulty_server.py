"""A server for tests: an OpenAI-compatible one that fails in every way a question asks for. In: requests. Out: faults.

The last word of the last message is the fault: `ok`, `drip`, `reset` …; `again-` before one means: only the first time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

HUGE = 150_000
NEVER = 60.0


def answer(content: object = "B", finish: object = "stop", **message: object) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


def bare(**fields: object) -> dict[str, Any]:
    return {**answer(), **fields}


THINKING = answer("B", reasoning_content="It is a cold.")
THINKING["usage"]["completion_tokens_details"] = {"reasoning_tokens": 2}
TEXT = {"type": "text", "text": "It is a cold."}
TOO_LONG = {"error": {"message": "maximum context length is 64 tokens", "type": "BadRequestError"}}
# Fault -> status, further headers, body.
REPLIES: dict[str, tuple[int, str, object]] = {
    "ok": (200, "", answer()),
    "empty": (200, "", answer("")),
    "429": (429, "Retry-After: 0\r\n", {"error": "slow down"}),
    "later": (429, "Retry-After: 0.6\r\n", {"error": "slow down"}),
    "500": (500, "", "oh dear"),
    "503": (503, "", {"error": "loading"}),
    "html": (200, "Content-Type: text/html\r\n", "<html><body>Welcome to the proxy</body></html>"),
    "cut-json": (200, "", json.dumps(answer())[:60]),
    "list": (200, "", [answer()]),
    "no-choices": (200, "", bare(choices=[])),
    "choices-text": (200, "", bare(choices="B")),
    "no-message": (200, "", bare(choices=[{"finish_reason": "stop"}])),
    "null": (200, "", answer(None)),
    "no-parts": (200, "", answer([])),
    "empty-no-finish": (200, "", answer("", None)),
    "number": (200, "", answer(5)),
    "no-finish": (200, "", answer("B", None)),
    "length": (200, "", answer("B and", "length")),
    "filter": (200, "", answer("", "content_filter")),
    "refusal": (200, "", answer(None, refusal="I cannot say.")),
    "tool": (200, "", answer(None, "tool_calls", tool_calls=[{}])),
    "abort": (200, "", answer("B", "abort")),
    "no-usage": (200, "", bare(usage=None)),
    "bad-usage": (200, "", bare(usage={"prompt_tokens": "many", "completion_tokens": -1})),
    "wrong-type": (200, "Content-Type: text/plain\r\n", answer()),
    "stream": (200, "Content-Type: text/event-stream\r\n", "data: {}\n\ndata: [DONE]\n\n"),
    "error-200": (200, "", {"error": {"message": "the GPU is on fire"}}),
    "error-200-lasts": (200, "", TOO_LONG),
    "template": (500, "", {"error": {"code": 500, "message": "Jinja Exception: System role not supported"}}),
    "short-500": (500, "", {"error": {"message": "the request exceeds the available context size"}}),
    "repetition": (200, "", answer("B B B", "repetition")),
    "mistral": (200, "", answer([{"type": "thinking", "thinking": [TEXT]}, {"type": "text", "text": "B"}])),
    "tags-in-reasoning": (200, "", answer("", reasoning="<think>It is a cold.</think>B")),
    "only-reasoning": (200, "", answer("", reasoning="It is a cold, so B")),
    "too-long": (400, "", TOO_LONG),
    "redirect": (307, "Location: http://elsewhere.example/\r\n", ""),
    "zip": (200, "Content-Encoding: gzip\r\n", answer()),
    "huge": (200, "", "x" * HUGE),
    "thinking": (200, "", THINKING),
    "inline": (200, "", answer("<think>It is a cold.</think>\n\nB")),
    "only-thinking": (200, "", answer(None, "length", reasoning="It is")),
    "surrogate": (200, "", answer("B \ud83d")),
    "nested": (200, "", "[" * 100_000),
}
BROKEN = ("drip", "drip-head", "never", "reset", "close")


class FaultyServer:
    """`with FaultyServer() as server:` listens on a free port; `seen` keeps bodies.

    `special`: path -> status and value of its reply, or a function of the request's body that returns them.
    """

    def __init__(self, special: Mapping[str, Any] | None = None) -> None:
        self.special: dict[str, Any] = {
            "/v1/models": (200, {"data": [{"id": "m", "owned_by": "us"}]}),
            **(special or {}),
        }
        self.seen: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.asked: Counter[str] = Counter()
        self.active = self.peak = 0
        self.delay = 0.0
        self.refuse: Any = None  # a function of the body of a chat request -> (status, value) or None

    def __enter__(self) -> FaultyServer:
        # Server and client share one process: they must not wait for each other's time slices.
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        sys.setswitchinterval(self._interval)

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        path = head.split(" ")[1]
        sizes = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")]
        body = json.loads(await reader.readexactly(int(sizes[0]))) if sizes else {}
        self.seen.append(body)
        if path in self.special:
            reply = self.special[path]
            status, value = reply(body) if callable(reply) else reply
            return await self._send(writer, status, "", value)
        if path != "/v1/chat/completions":
            return await self._send(writer, 404, "", {"error": "not found"})
        if self.refuse is not None and (refused := self.refuse(body)) is not None:
            return await self._send(writer, refused[0], "", refused[1])
        question = body["messages"][-1]["content"]
        self.asked[question] += 1
        fault = question.split()[-1]
        if fault.startswith("again-"):
            fault = fault.removeprefix("again-") if self.asked[question] == 1 else "ok"
        if fault in BROKEN:
            return await self._break(fault, reader, writer)
        self.active += 1
        self.peak = max(self.peak, self.active)
        await asyncio.sleep(self.delay)
        self.active -= 1
        return await self._send(writer, *REPLIES.get(fault, (200, "", answer(question))))

    async def _send(self, writer: asyncio.StreamWriter, status: int, headers: str, body: object) -> bool:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        kind = "" if "Content-Type" in headers else "Content-Type: application/json\r\n"
        writer.write(f"HTTP/1.1 {status} X\r\n{kind}{headers}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()
        return True

    async def _break(self, fault: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        start = b"HTTP/1.1 200 OK\r\n" if fault == "drip-head" else b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
        if fault in ("drip", "drip-head", "reset"):
            writer.write(start + (b'{"choices": [' if fault == "reset" else b""))
            await writer.drain()
        if fault == "reset":
            writer.transport.abort()
        for _ in range(int(NEVER / 0.05) if fault.startswith("drip") else 0):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
        if fault == "never":
            await asyncio.wait_for(reader.read(1), NEVER)
        return False
