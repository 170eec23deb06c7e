"""Requests to a server, several at a time, each within its time. In: asks. Out: replies in the order of the asks.

A request has until its deadline for everything, from connecting to the last byte: a server that trickles cannot hold
it. What failed for a moment is asked again. Proxies and .netrc of the environment are not used, redirects not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from ragmed.errors import ModelError
from ragmed.models.endpoint.names import Endpoint
from ragmed.models.endpoint.secret import Secret
from ragmed.models.refusals import lasts

LARGEST_REPLY = 32 * 2**20
AGAIN = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """`timeout`, `first_wait`, `longest_wait` in seconds; `retries`: how often more than once."""

    timeout: float
    retries: int
    first_wait: float = 0.5
    longest_wait: float = 60.0

    def wait(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """
        >>> Patience(9, 3).wait(2, 7.0, random.Random(0))
        7.0

        Twice as long after each `attempt` (from 0), less up to half of it by chance; at least what the server asks
        for, at most `longest_wait`.
        """
        backoff = self.first_wait * 2.0 ** min(attempt, 30) * rng.uniform(0.5, 1.0)
        return min(self.longest_wait, max(backoff, retry_after or 0.0))


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: a POST of `body` as JSON, or a GET. `once`: not asked again, and a refused key is only noted.

    `damaged`: whether a reply with status 200 is none all the same (a proxy's page, JSON that was cut), so that it is
    asked again like one with status 500.
    """

    url: str
    body: Mapping[str, Any] | None = None
    once: bool = False
    damaged: Callable[[Reply], bool] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """`status` 0: no whole reply came, and `failure` says why. `refused`: nobody listens at the address.

    `seconds`: from the last attempt's request to the end of its reply, without waits between attempts. `asked`: how
    often that was tried.
    """

    status: int
    text: str = ""
    kind: str = ""
    failure: str = ""
    retry_after: float | None = None
    refused: bool = False
    seconds: float = field(default=0.0, compare=False)
    asked: int = field(default=1, compare=False)


class Client:
    """
        Client(endpoint, secret, patience=Patience(120, 5), concurrency=8, seed=0).ask([Ask(url)])

    Raises ModelError for what no other request would fare better with: a key that is not accepted, an address where
    nobody listens. Every other failure is a Reply. `seed` is that of the waits' jitter.
    """

    def __init__(
        self, endpoint: Endpoint, secret: Secret, *, patience: Patience, concurrency: int, seed: int = 0
    ) -> None:
        self.endpoint = endpoint
        self.secret = secret
        self.patience = patience
        self.concurrency = concurrency
        self._seed = seed
        self._met = False
        self._tls = _trusted_authorities() if endpoint.url.startswith("https:") else _no_authorities()

    def ask(self, asks: Sequence[Ask], each: Callable[[int, Reply], None] | None = None) -> list[Reply]:
        """The replies, in order. `each` is called with place and reply as they come; what it raises is raised."""
        return _run(self._ask(asks, each)) if asks else []

    async def _ask(self, asks: Sequence[Ask], each: Callable[[int, Reply], None] | None) -> list[Reply]:
        replies: dict[int, Reply] = {}
        failed: list[Exception] = []
        places = iter(range(len(asks)))
        limits = httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        # Identity: a small compressed reply must not unpack to a huge one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "ragmed"}
        async with httpx.AsyncClient(
            headers={**headers, **self.secret.header()}, verify=self._tls, trust_env=False, follow_redirects=False,
            timeout=httpx.Timeout(None), limits=limits,
        ) as http:  # fmt: skip

            async def work() -> None:
                for place in places:
                    replies[place] = await self._until_done(http, asks[place], place)
                    if each:
                        try:
                            each(place, replies[place])
                        except Exception as error:  # whatever it is, it is not the server's, and not one of a group
                            failed.append(error)
                            raise ModelError("") from None

            stopped = None
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.concurrency, len(asks))):
                        group.create_task(work())
            except* ModelError as errors:
                stopped = str(errors.exceptions[0])
        if failed:
            raise failed[0]
        if stopped is not None:  # outside of the handler: a traceback shows this sentence and no request
            raise ModelError(stopped)
        return [replies[place] for place in range(len(asks))]

    async def _until_done(self, http: httpx.AsyncClient, ask: Ask, place: int) -> Reply:
        rng = random.Random(f"{self._seed}/{place}/{ask.url}")
        tries = 1 if ask.once else 1 + self.patience.retries
        reply = Reply(0)
        for attempt in range(tries):
            started = time.perf_counter()
            reply = await self._within_deadline(http, ask)
            reply = replace(reply, seconds=time.perf_counter() - started, asked=attempt + 1)
            self._met = self._met or reply.status > 0
            if reply.refused and not (self._met and attempt + 1 < tries):
                remedy = "add its authority with SSL_CERT_FILE" if "CERTIFICATE" in reply.failure else "is it running?"
                raise ModelError(f"no server answers at '{self.endpoint.url}' ({reply.failure}); {remedy}")
            if reply.status in (401, 403) and not ask.once:
                raise ModelError(self._not_accepted(reply.status))
            if attempt + 1 == tries or not _may_pass(reply, ask):
                break
            await asyncio.sleep(self.patience.wait(attempt, reply.retry_after, rng))
        return reply

    async def _within_deadline(self, http: httpx.AsyncClient, ask: Ask) -> Reply:
        content = None if ask.body is None else json.dumps(ask.body).encode("ascii")
        headers = {} if content is None else {"Content-Type": "application/json"}
        method = "GET" if content is None else "POST"
        try:
            async with (
                asyncio.timeout(self.patience.timeout),
                http.stream(method, ask.url, content=content, headers=headers) as response,
            ):
                return await self._read(response)
        except TimeoutError:
            return Reply(0, failure=f"no whole reply within {self.patience.timeout:g} s")
        except httpx.ConnectError as error:
            return Reply(0, failure=self.secret.quote(str(error)) or "no connection", refused=True)
        except (httpx.HTTPError, ssl.SSLError, OSError) as error:
            words = self.secret.quote(str(error)) or type(error).__name__
            return Reply(0, failure=f"the connection broke: {words}")

    async def _read(self, response: httpx.Response) -> Reply:
        status, kind = response.status_code, self.secret.quote(response.headers.get("content-type", ""))
        if response.is_redirect:
            place = self.secret.quote(response.headers.get("location", "nowhere"))
            return Reply(status, failure=f"the server sends elsewhere ({place}); redirects are not followed")
        if response.headers.get("content-encoding", "identity") != "identity":
            return Reply(status, kind=kind, failure="the reply is compressed, which was not asked for")
        after = _seconds(response.headers.get("retry-after", ""))
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > LARGEST_REPLY:
                return Reply(status, kind=kind, failure=f"the reply is longer than {LARGEST_REPLY} bytes")
        text = self.secret.scrub_reply(body.decode("utf-8", "replace"))
        return Reply(status, text, kind, retry_after=after)

    def _not_accepted(self, status: int) -> str:
        variable = self.secret.variable
        what = f"the key in the environment variable '{variable}'" if variable else "requests without a key"
        remedy = "check it" if variable else "name the environment variable that holds one with key:"
        return f"the server at '{self.endpoint.url}' does not accept {what} (status {status}); {remedy}"


def _may_pass(reply: Reply, ask: Ask) -> bool:
    """Whether the same request may fare better in a moment."""
    if reply.status == 0:
        return bool(reply.failure)
    if reply.status == 500:  # llama.cpp gives what its template refuses as an error of its own
        return not lasts(reply.text[:20_000])
    return reply.status in AGAIN or (reply.status == 200 and ask.damaged is not None and ask.damaged(reply))


def _seconds(retry_after: str) -> float | None:
    """The header Retry-After: seconds, or a date."""
    text = retry_after.strip()
    if not text:
        return None
    try:
        value = float(text)
        return value if 0 <= value < float("inf") else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _trusted_authorities() -> ssl.SSLContext:
    """The machine's own certificates (a hospital's authority is often among them; SSL_CERT_FILE adds to them)."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _no_authorities() -> ssl.SSLContext:
    """For http://, where httpx would read all certificates for nothing at every call; no https:// host passes it."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; in a thread of its own where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _in_loop(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_in_loop, work).result()


def _in_loop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up in threads that nobody waits for: a resolver may take longer than a request may.

    The usual loop waits for them at its end, past every deadline, and the interpreter does at its own.
    """

    async def getaddrinfo(self, *place: Any, **hints: Any) -> Any:
        found: asyncio.Future[Any] = self.create_future()

        def deliver(value: Any, error: BaseException | None) -> None:
            if found.done():  # its request is over
                return
            if error is None:
                found.set_result(value)
            else:
                found.set_exception(error)

        def look_up() -> None:
            value, error = None, None
            try:
                value = socket.getaddrinfo(*place, **hints)
            except (OSError, ValueError) as failure:  # ValueError: a name that cannot be encoded
                error = failure
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self.call_soon_threadsafe(deliver, value, error)

        threading.Thread(target=look_up, daemon=True).start()
        return await found
