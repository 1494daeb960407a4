"""A package, and the packages of a Chain."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from chains_cli.packaging.reader import Content
from chains_protocol.digest import tree_digest
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import ChainManifest, EnvironmentSpec, FileEntry, PackageManifest
from chains_protocol.spec import ChainletSpec


class _Bytes(Mapping[str, bytes]):
    """Contents as bytes, in the same order; a large one is read when it is asked for."""

    __slots__ = ("_contents",)

    def __init__(self, contents: Mapping[str, Content]) -> None:
        self._contents = contents

    def __getitem__(self, key: str) -> bytes:
        return self._contents[key].data

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)


class _Blobs(Mapping[str, bytes]):
    """Contents by digest, each taken from the package that has it when it is asked for."""

    __slots__ = ("_places",)

    def __init__(self, places: Mapping[str, tuple[Mapping[str, bytes], str]]) -> None:
        self._places = places

    def __getitem__(self, digest: str) -> bytes:
        files, path = self._places[digest]
        return files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True, slots=True)
class Package:
    """One Chainlet's files, by POSIX path below the package's root, and what they amount to.

    `origins` says of each path why it is there; it is no part of what a package is.
    """

    files: Mapping[str, bytes]
    manifest: PackageManifest
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def display_name(self) -> str:
        return self.manifest.spec.display_name

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.manifest.files)

    def blobs(self) -> Mapping[str, bytes]:
        """Contents by digest."""
        return {entry.digest: self.files[entry.path] for entry in self.manifest.files}


@dataclass(frozen=True, slots=True)
class ChainPackages:
    """The packages of a Chain, dependencies first; `entrypoint` is a display name."""

    chain_name: str
    entrypoint: str
    packages: tuple[Package, ...]
    notes: tuple[Diagnostic, ...] = ()

    def __iter__(self) -> Iterator[Package]:
        return iter(self.packages)

    def __len__(self) -> int:
        return len(self.packages)

    @property
    def manifest(self) -> ChainManifest:
        return ChainManifest(
            chain_name=self.chain_name,
            entrypoint=self.entrypoint,
            packages=tuple(package.manifest for package in self.packages),
        )

    def package(self, display_name: str) -> Package:
        """The package of that Chainlet; `KeyError` if there is none."""
        for package in self.packages:
            if package.display_name == display_name:
                return package
        raise KeyError(display_name)

    def blobs(self, digests: Iterable[str]) -> Mapping[str, bytes]:
        """The contents with these digests, in their order; unknown digests are left out."""
        wanted = dict.fromkeys(digests)
        found: dict[str, tuple[Mapping[str, bytes], str]] = {}
        for package in self.packages:
            for entry in package.manifest.files:
                if entry.digest in wanted:
                    found[entry.digest] = (package.files, entry.path)
        return _Blobs({digest: found[digest] for digest in wanted if digest in found})

    def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """The sizes of the contents with these digests, without reading any."""
        wanted = set(digests)
        entries = (entry for package in self.packages for entry in package.manifest.files)
        return {entry.digest: entry.size_bytes for entry in entries if entry.digest in wanted}


def make_package(
    files: Mapping[str, Content],
    spec: ChainletSpec,
    environment: EnvironmentSpec,
    origins: Mapping[str, str] | None = None,
) -> Package:
    """Sort the files and describe them; a content shared by many packages is hashed once."""
    ordered = {path: files[path] for path in sorted(files)}
    entries = tuple(
        FileEntry(path=path, digest=content.digest, size_bytes=content.size_bytes)
        for path, content in ordered.items()
    )
    manifest = PackageManifest(
        digest=tree_digest({entry.path: entry.digest for entry in entries}),
        files=entries,
        spec=spec,
        environment=environment,
    )
    return Package(_Bytes(ordered), manifest, origins or {})


__all__ = ["ChainPackages", "Package", "make_package"]
