"""The gateway is started again whatever stood in the way."""

import asyncio
import logging
from pathlib import Path

from chains_platform.daemons.gateway import GatewayProcess, GatewayRun
from chains_platform.layout import find_layout
from chains_platform.replicas.client import GatewayClient

NOBODY = 2**31 - 1
"""No process has this id."""


class Told(logging.Handler):
    """Sets `twice` when two records came."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self.twice = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        if len(self.messages) == 2:
            self.twice.set()


async def test_what_the_system_refuses_is_tried_again(tmp_path: Path) -> None:
    """Its log can't be written, so no process comes to be; the one who keeps it goes on."""
    layout = find_layout({}, tmp_path / "nowhere")
    client = GatewayClient(f"unix:{tmp_path / 'none.sock'}", "token")
    gateway = GatewayProcess(layout, client, {}, "127.0.0.1")
    told, logger = Told(), logging.getLogger("chains.platform")
    logger.addHandler(told)
    keeping = asyncio.create_task(gateway.keep(GatewayRun(pid=NOBODY, started=1.0, host="127.0.0.1", port=1)))
    try:
        async with asyncio.timeout(10):
            await told.twice.wait()
        assert not keeping.done()
        assert all("does not start" in message and "gateway.log" in message for message in told.messages)
    finally:
        logger.removeHandler(told)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
