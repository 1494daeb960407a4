"""Two Chainlets that need versions of one package that exclude each other.

semver 3 renamed what semver 2 offered: code written for one does not run with the other. Each
Chainlet has an environment of its own, so both run in one Chain.
"""

from importlib.metadata import version

import pydantic

import truss_chains as chains


class Bumped(pydantic.BaseModel):
    """What a Chainlet answered, and the release of semver that it has."""

    text: str
    semver: str


class Legacy(chains.ChainletBase):
    """Written for semver 2: functions on text."""

    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage(pip_requirements=["semver==2.13.0"]))

    async def run_remote(self, text: str) -> Bumped:
        import semver

        return Bumped(text=semver.bump_minor(text), semver=version("semver"))


class Modern(chains.ChainletBase):
    """Written for semver 3: methods of a class that semver 2 does not have."""

    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage(pip_requirements=["semver==3.0.2"]))

    async def run_remote(self, text: str) -> Bumped:
        from semver.version import Version

        return Bumped(text=str(Version.parse(text).bump_minor()), semver=version("semver"))


@chains.mark_entrypoint("versions")
class Compare(chains.ChainletBase):
    """Asks both."""

    def __init__(
        self, legacy: Legacy = chains.depends(Legacy), modern: Modern = chains.depends(Modern)
    ) -> None:
        self._legacy = legacy
        self._modern = modern

    async def run_remote(self, text: str) -> list[Bumped]:
        return [await self._legacy.run_remote(text), await self._modern.run_remote(text)]
