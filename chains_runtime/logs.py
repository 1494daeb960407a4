"""Log lines of a replica: one record a line-start on standard error, with the request's ids (R-06)."""

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

from chains_protocol.rpc import CHAIN_REQUEST_ID, REQUEST_ID
from truss_chains.calling import CURRENT_REQUEST

FORMAT: Final = "%(levelname)s %(name)s: %(message)s%(request)s"


class RequestIds(logging.Filter):
    """Adds the ids of the request that is being served, if it has any."""

    def filter(self, record: logging.LogRecord) -> bool:
        forwarded = CURRENT_REQUEST.get().forwarded
        ids = (
            ("request_id", forwarded.get(REQUEST_ID)),
            ("chain_request_id", forwarded.get(CHAIN_REQUEST_ID)),
        )
        record.request = "".join(f" {name}={value}" for name, value in ids if value)
        return True


class UserPathFormatter(logging.Formatter):
    """Shows the author's paths in the tracebacks that user code logs.

    Args:
        shown: gives a text with the paths to show.
    """

    def __init__(self, shown: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._shown = shown

    def formatException(self, ei: Any) -> str:
        return self._shown(super().formatException(ei))


def set_up_logging(*, debug: bool, shown: Callable[[str], str]) -> None:
    """Root logger to standard error; the server's own messages only if they are errors of ours.

    Args:
        debug: also DEBUG records.
        shown: gives a traceback with the author's paths.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(UserPathFormatter(shown))
    handler.addFilter(RequestIds())
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # A stream that breaks off on purpose is reported by us, with the user's traceback.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


__all__ = ["RequestIds", "UserPathFormatter", "set_up_logging"]
