"""Build a generation: load its code, read its endpoint, bind its dependencies, make its instance.

Everything here may run user code and block, so it runs in threads, never on the event loop.
"""

import contextvars
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from chains_protocol.replica import ReplicaLaunch
from chains_protocol.rpc import Revision
from chains_protocol.spec import ChainletSpec, DependencySpec
from chains_runtime.context import build_context, handed_secrets
from chains_runtime.endpoint import Endpoint
from chains_runtime.generation import Generation
from chains_runtime.hotswap.modules import ModuleTable
from chains_runtime.hotswap.plan import CarryPlanLike
from chains_runtime.hotswap.space import ModuleSpace
from chains_runtime.outbound import Outbound
from chains_runtime.package import OpenPackage, Wrapped
from chains_runtime.request_context import Call, enter_call
from chains_runtime.siblings import Siblings
from chains_runtime.signature import Mode, read_signature
from chains_runtime.stubs import Binding, Stub
from chains_runtime.wrapped_model import (
    ModelCalls,
    ServerArguments,
    make_model,
    model_signature,
    starlette_websocket,
)
from truss_chains.calling import NO_REQUEST, CallPolicy
from truss_chains.chainlet import TrussChainlet


@dataclass(frozen=True)
class Loader:
    """Makes generations of one replica.

    Args:
        launch: what the replica was started with.
        space: where modules are made known.
        outbound: shared by all stubs.
        bindings: returns the bindings of the generation that the running code belongs to.
        pool: threads for sync methods of a wrapped Truss.
        siblings: the way to dependencies that wrap a Truss.
    """

    launch: ReplicaLaunch
    space: ModuleSpace
    outbound: Outbound
    bindings: Callable[[], Mapping[str, Binding]]
    pool: Callable[[], Executor]
    siblings: Siblings

    def blank(
        self,
        package: OpenPackage,
        *,
        number: int,
        since: int,
        digest: str,
        plan: CarryPlanLike | None = None,
        previous: ModuleTable | None = None,
    ) -> Generation:
        """A generation with nothing loaded yet."""
        table = ModuleTable(package.source_root, self.space.announce, plan, previous)
        return Generation(number, since, digest, package, table)

    def load_code(self, generation: Generation, also: Iterable[str] = ()) -> None:
        """Import the Chainlet's module and read the class.

        Args:
            generation: gets class, bindings.
            also: modules that the generation before had loaded; loaded now where they still
                exist, so that what fails, fails before the switch.
        """
        spec = generation.package.spec
        if generation.package.is_auto_mock:
            return
        wrapped = generation.package.wrapped
        if wrapped is not None:
            self._inside(generation, lambda: self._import_wrapped(generation, wrapped))
            return
        self._inside(generation, lambda: self._import(generation, spec, also))

    def _import_wrapped(self, generation: Generation, wrapped: Wrapped) -> None:
        """The model's class of a wrapped Truss; its `packages` are importable beside (R-02)."""
        packages = str(generation.package.root / wrapped.setting("bundled_packages_dir"))
        if packages not in sys.path:
            sys.path.insert(0, packages)
        file = wrapped.setting("model_class_filename").removesuffix(".py").replace("/", ".")
        name = f"{wrapped.setting('model_module_dir').replace('/', '.')}.{file}"
        generation.cls = getattr(generation.table.load(name), wrapped.setting("model_class_name"))

    def _import(self, generation: Generation, spec: ChainletSpec, also: Iterable[str]) -> None:
        found: Any = generation.table.load(spec.module)
        for name in also:
            if generation.table.find(name) is not None:
                generation.table.load(name)
        for part in spec.qualname.split("."):
            found = getattr(found, part)
        if not isinstance(found, type):
            raise TypeError(f"`{spec.module}.{spec.qualname}` is not a class")
        generation.cls = found
        callees = {d.class_name: dependency_class(found, d.parameter) for d in spec.dependencies}
        generation.bindings = {
            dependency.class_name: self._bind(callees[dependency.class_name], dependency, generation.since)
            for dependency in spec.dependencies
            if not is_truss(callees[dependency.class_name])
        }

    def _bind(self, callee: type, dependency: DependencySpec, since: int) -> Binding:
        signature = read_signature(callee, "run_remote")
        signature.compile()
        return Binding(
            dependency,
            signature,
            CallPolicy(dependency.display_name, dependency.options),
            self.outbound,
            Revision(self.launch.deployment, since),
        )

    def construct(self, generation: Generation) -> object:
        """Run `__init__` with stubs and context, every parameter by keyword (V-32)."""
        cls = generation.code
        if generation.package.wrapped is not None:
            arguments = self._server_arguments(generation.package, generation.package.wrapped)
            return self._inside(generation, lambda: make_model(cls, arguments, self.outbound.loop))
        return self._inside(generation, lambda: cls(**self._arguments(generation)))

    def _server_arguments(self, package: OpenPackage, wrapped: Wrapped) -> ServerArguments:
        return ServerArguments(
            config=wrapped.config,
            data_dir=package.data_dir,
            secrets=handed_secrets(package.spec, self.launch),
            environment={"name": self.launch.environment} if self.launch.environment else None,
        )

    def _arguments(self, generation: Generation) -> dict[str, Any]:
        spec = generation.package.spec
        arguments: dict[str, Any] = {
            dependency.parameter: self._dependency(generation, dependency) for dependency in spec.dependencies
        }
        if spec.takes_context:
            routes = self.outbound.routes()
            services = {d.class_name: routes.sets(d.class_name) for d in spec.dependencies}
            arguments["context"] = build_context(
                spec, self.launch, generation.package.data_dir, services, chain_key=self.siblings.key
            )
        return arguments

    def _dependency(self, generation: Generation, dependency: DependencySpec) -> object:
        """A stub; of a wrapped Truss, a handle (G-54)."""
        if dependency.class_name in generation.bindings:
            return Stub(dependency.class_name, self.bindings)
        return self.siblings.handle(generation.package.spec, dependency.display_name)

    def finish(self, generation: Generation, instance: object) -> None:
        """Attach the instance; the generation can serve afterwards."""
        spec = generation.package.spec
        if generation.package.wrapped is not None:
            generation.instance = instance
            generation.endpoint = self._wrapped_endpoint(generation, instance)
            return
        signature = read_signature(generation.code, spec.endpoint.method_name, untyped=spec.mock is not None)
        signature.compile()
        generation.instance = instance
        generation.endpoint = Endpoint(signature, getattr(instance, spec.endpoint.method_name))

    def _wrapped_endpoint(self, generation: Generation, model: Any) -> Endpoint:
        signature = model_signature(generation.code)
        if signature.mode is Mode.OPEN:
            return Endpoint(signature, ModelCalls(model, self.pool))
        return Endpoint(signature, lambda socket: model.websocket(starlette_websocket(socket)))

    def finish_mock(self, generation: Generation) -> None:
        """Make the generation of an auto mock serve (no user code is loaded)."""
        from chains_runtime.auto_mock import mock_endpoint

        generation.endpoint = mock_endpoint(generation.package.spec)

    def _inside(self, generation: Generation, work: Callable[[], Any]) -> Any:
        """Do `work` as code of that generation; its result is whatever `work` returns."""

        def entered() -> Any:
            enter_call(Call(generation, Revision(self.launch.deployment, generation.since)), NO_REQUEST)
            return work()

        return contextvars.copy_context().run(entered)


def dependency_class(cls: type, parameter: str) -> type:
    """The class that `depends(...)` names as the default of an `__init__` parameter."""
    found = inspect.signature(cls.__init__).parameters.get(parameter)  # type: ignore[misc]  # its signature is what is read
    callee = getattr(found.default, "chainlet_class", None) if found is not None else None
    if not isinstance(callee, type):
        raise TypeError(
            f"parameter `{parameter}` of `{cls.__qualname__}.__init__` has no `depends(...)` default"
        )
    return callee


def is_truss(cls: type) -> bool:
    """Whether a dependency wraps a Truss, which has no typed method."""
    return issubclass(cls, TrussChainlet)


__all__ = ["Loader", "dependency_class", "is_truss"]
