"""Websocket endpoints (R-40 to R-43): the same talk in this process and through the gateway."""

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.conformance.runners import MODES, Mode, load_program, local_entrypoint
from tests.conformance.sockets import Client, GatewayClient, LocalClient, Talk

PROGRAM = ("sockets", "Sockets")
load_program("sockets")

GetClient = Callable[[Mode], Client]


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest) -> GetClient:
    made: dict[Mode, Client] = {}

    def get(mode: Mode) -> Client:
        if mode not in made:
            if mode is Mode.PLATFORM:
                made[mode] = GatewayClient(request.getfixturevalue("pushed")("sockets"))
            else:
                # Plain even for strict: a websocket is the entrypoint's, and nothing calls it strictly.
                made[mode] = LocalClient(local_entrypoint(*PROGRAM, strict=False))
        return made[mode]

    return get


TALKS: dict[str, tuple[tuple[str | bytes, ...], int | None, Talk]] = {
    "text and bytes echoed": (("echo", "grüße 世", b"\x00\xff"), None, Talk(("grüße 世", b"\x00\xff"), 1000)),
    "an empty text": (("echo", "", b""), None, Talk(("", b""), 1000)),
    "text": (("text", "abc"), None, Talk(("cba",), 1000)),
    "text that came as bytes": (("text", b"abc"), None, Talk(("cba",), 1000)),
    "bytes": (("bytes", b"abc"), None, Talk((b"cba",), 1000)),
    "json": (("json", '{"a": [1, null]}'), None, Talk(('{"got":{"a":[1,null]},"text":"世"}',), 1000)),
    "each text until the client closes": (("each text", "a", "b"), 2, Talk(("A", "B"), 1000)),
    "each bytes": (("each bytes", b"a", b"b"), 2, Talk((b"a!", b"b!"), 1000)),
    "each json": (("each json", "1", '{"a":2}'), 2, Talk(("[1]", '[{"a":2}]'), 1000)),
    "a call of a dependency": (("shouted", "hey"), None, Talk(("HEY",), 1000)),
    "closed with a code": (("close",), None, Talk((), 4001)),
    "closed twice": (("close twice",), None, Talk((), 1000)),
    "is connected": (("connected", "x"), None, Talk(("true",), 1000)),
    "a large message": (("bytes", b"ab" * 400_000), None, Talk((b"ba" * 400_000,), 1000)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TALKS)
async def test_talks(name: str, mode: Mode, client: GetClient) -> None:
    sent, expects, expected = TALKS[name]
    assert await client(mode).talk(*sent, expects=expects) == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("sent", "raised"),
    [
        (("raise",), "LookupError"),
        (("shouted", "fail"), "LookupError"),
        (("json", "no json"), "JSONDecodeError"),
    ],
    ids=["its own", "of a dependency", "of receiving"],
)
async def test_an_exception_closes_with_1011(
    sent: tuple[str, ...], raised: str, mode: Mode, client: GetClient
) -> None:
    """R-40; in this process the exception arrives as raised (X-13)."""
    assert (await client(mode).talk(*sent)).end == (1011 if mode is Mode.PLATFORM else raised)


@pytest.mark.parametrize("mode", MODES)
async def test_headers_of_the_request_are_there(mode: Mode, client: GetClient) -> None:
    talk = await client(mode).talk("headers", headers={"x-own": "yes"})
    assert talk.got == ('"yes"',)


@pytest.mark.parametrize("mode", MODES)
async def test_receiving_after_the_client_left_raises(mode: Mode, client: GetClient) -> None:
    """R-41: `WebSocketDisconnect` with the code. What is sent last tells that all before was received."""
    await client(mode).talk("receive for ever", "x", expects=0)
    assert "WebSocketDisconnect 1000" in await ended(client(mode), "WebSocketDisconnect 1000")


@pytest.mark.parametrize("mode", MODES)
async def test_an_iteration_ends_when_the_client_leaves(mode: Mode, client: GetClient) -> None:
    """R-42."""
    await client(mode).talk("each text", "a", expects=1)
    assert "text" in await ended(client(mode), "text")


@pytest.mark.parametrize("mode", MODES)
async def test_a_closed_socket_is_not_connected(mode: Mode, client: GetClient) -> None:
    """R-43."""
    await client(mode).talk("connected", "x")
    assert "connected False" in await ended(client(mode), "connected False")


async def ended(client: Client, wanted: str) -> list[str]:
    """What the endpoint noted, once it has noted `wanted`; after 10 s whatever there is."""
    found: list[str] = []
    async with asyncio.timeout(10):
        while wanted not in found:
            found = json.loads((await client.talk("ended streams")).got[0])
    return found
