"""A hot patch: what the author's side asks for and what became of it."""

import base64
from enum import StrEnum
from typing import Annotated

from pydantic import Field, PlainSerializer, PlainValidator

from chains_protocol.base import Frozen, Reply
from chains_protocol.digest import Digest
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import PackageManifest


class Action(StrEnum):
    """What one Chainlet needs, lightest first; `heavier` compares."""

    UNCHANGED = "unchanged"
    PATCHED = "patched"
    RELOADED = "reloaded"
    RESTARTED = "restarted"
    REBUILT = "rebuilt"
    REDEPLOYED = "redeployed"

    @property
    def weight(self) -> int:
        return list(Action).index(self)

    def at_least(self, other: "Action") -> "Action":
        """The heavier of the two."""
        return self if self.weight >= other.weight else other


def _to_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    raise ValueError("expected base64 text")


Base64Bytes = Annotated[
    bytes,
    PlainValidator(_to_bytes),
    PlainSerializer(lambda data: base64.b64encode(data).decode("ascii"), return_type=str),
]
"""Bytes in Python, base64 text in JSON."""


class JudgedStep(Frozen):
    """All that an analysis said of the step from one package to another, so that it need not be asked again.

    `analysis` names who was asked; a replica that has another one asks its own. `shared` and
    `modules` say what of the running code is kept: whole modules, and for each top-level
    statement of the others its index, the names it binds, and whether they keep their values.
    """

    analysis: str
    before: Digest
    after: Digest
    action: Action
    reasons: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    modules: dict[str, tuple[tuple[int, tuple[str, ...], bool], ...]] = Field(default_factory=dict)


class ChainletPatch(Frozen):
    """One Chainlet's next package and the action judged sufficient, with its reasons for people.

    `judged` is what the action was judged by, if the step's source is all that was looked at.
    """

    manifest: PackageManifest
    action: Action
    reasons: tuple[str, ...] = ()
    judged: JudgedStep | None = None


class PatchRequest(Frozen):
    """A change of the development deployment, all or nothing.

    `base` maps every Chainlet of the deployment to the package digest the author's side
    believes runs; any difference is a conflict (409, CH305). `chainlets` lists only what
    changes; `removed` the display names that go. `blobs` carries small files inline, by
    digest; larger ones are uploaded before. `smoke`, if given, is the entrypoint's input for
    a call on the new version before it becomes visible. `restores` is the earlier version whose
    packages these are, if the patch goes back to one. `attempt` is any unique text by which the
    patch can be given up while it is prepared.
    """

    deployment: str
    base_version: int
    base: dict[str, Digest]
    entrypoint: str
    chainlets: tuple[ChainletPatch, ...] = ()
    removed: tuple[str, ...] = ()
    blobs: dict[Digest, Base64Bytes] = Field(default_factory=dict, repr=False)
    smoke: dict[str, object] | None = None
    restores: int | None = None
    attempt: str = ""


class ChainletOutcome(Reply):
    """What is true now for one Chainlet. `calls_on_old` are calls still inside older code."""

    display_name: str
    action: Action
    package_digest: Digest
    reasons: tuple[str, ...] = ()
    elapsed_ms: float = 0.0
    calls_on_old: int = 0


class PatchOutcome(Reply):
    """`committed` False: the old version never stopped serving; `diagnostics` say why."""

    committed: bool
    version: int
    chainlets: tuple[ChainletOutcome, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    elapsed_ms: float = 0.0


__all__ = [
    "Action",
    "Base64Bytes",
    "ChainletOutcome",
    "ChainletPatch",
    "JudgedStep",
    "PatchOutcome",
    "PatchRequest",
]
