"""Names that generated code takes from here; they live in the modules named below."""

from truss_chains.calling import CURRENT_REQUEST, RequestContext, serving
from truss_chains.codec import decode_binary, encode_binary
from truss_chains.remote_errors import exception_to_detail, raise_for_error, status_of

__all__ = [
    "CURRENT_REQUEST",
    "RequestContext",
    "decode_binary",
    "encode_binary",
    "exception_to_detail",
    "raise_for_error",
    "serving",
    "status_of",
]
