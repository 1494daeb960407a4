"""A package, and the packages of a Chain."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from chains_cli.packaging.reader import Content
from chains_protocol.digest import tree_digest
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import ChainManifest, EnvironmentSpec, FileEntry, PackageManifest
from chains_protocol.spec import ChainletSpec


@dataclass(frozen=True, slots=True)
class Package:
    """One Chainlet's files, by POSIX path below the package's root, and what they amount to."""

    files: Mapping[str, bytes]
    manifest: PackageManifest

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

    def blobs(self, digests: Iterable[str]) -> dict[str, bytes]:
        """The contents with these digests, in their order; unknown digests are left out."""
        known: dict[str, bytes] = {}
        for package in self.packages:
            known |= package.blobs()
        return {digest: known[digest] for digest in digests if digest in known}


def make_package(files: Mapping[str, Content], spec: ChainletSpec, environment: EnvironmentSpec) -> Package:
    """Sort the files and describe them; a content shared by many packages is hashed once."""
    ordered = {path: files[path] for path in sorted(files)}
    entries = tuple(
        FileEntry(path=path, digest=content.digest, size_bytes=len(content.data))
        for path, content in ordered.items()
    )
    manifest = PackageManifest(
        digest=tree_digest({entry.path: entry.digest for entry in entries}),
        files=entries,
        spec=spec,
        environment=environment,
    )
    return Package({path: content.data for path, content in ordered.items()}, manifest)


__all__ = ["ChainPackages", "Package", "make_package"]
