"""Two states of a Chain -> what each Chainlet needs. Pure.

The source is judged by `chains_analysis`; this module adds what the analysis can't see: the
specs that discovery read, requirements, and files that are not source.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from chains_analysis import AnalysisCache, ChainletRef, Reason, SourceTree, Verdict, judge
from chains_cli.packaging.build import DATA_DIR
from chains_cli.packaging.package import ChainPackages, Package
from chains_protocol.manifest import SOURCE_DIR
from chains_protocol.patch import Action
from chains_protocol.spec import AssetsSpec, ChainletKind, ChainletSpec, DependencySpec

_PREFIX = f"{SOURCE_DIR}/"


@dataclass(frozen=True, slots=True)
class Decision:
    """What one Chainlet needs; reasons are sorted, the heaviest first."""

    display_name: str
    action: Action
    reasons: tuple[Reason, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The reasons as sentences."""
        return tuple(reason.text for reason in self.reasons)


def source_tree(package: Package) -> SourceTree:
    """The files that a replica has on its import path; of files that are not Python, the digest will do."""
    digests = {e.path: e.digest for e in package.manifest.files if e.path.startswith(_PREFIX)}
    return SourceTree(
        {
            path.removeprefix(_PREFIX): package.files[path] if path.endswith(".py") else digest.encode()
            for path, digest in digests.items()
        }
    )


def has_source(spec: ChainletSpec) -> bool:
    """Whether the Chainlet runs code of the workspace, which the analysis can judge."""
    return spec.kind in (ChainletKind.CHAINLET, ChainletKind.MODEL) and spec.mock is None


def chainlet_ref(spec: ChainletSpec) -> ChainletRef:
    """The Chainlet as the analysis names it."""
    return ChainletRef(spec.display_name, spec.module, spec.qualname, spec.endpoint.method_name)


def judge_sources(old: ChainPackages, new: ChainPackages, cache: AnalysisCache) -> dict[str, Verdict]:
    """The analysis' verdict for each Chainlet whose code differs, by display name.

    Raises:
        DiagnosticsError: CH152 if a file is not valid Python.
    """
    known = {package.display_name: package for package in old}
    verdicts: dict[str, Verdict] = {}
    for package in new:
        before = known.get(package.display_name)
        spec = package.manifest.spec
        if before is None or not has_source(spec) or not has_source(before.manifest.spec):
            continue
        if before.manifest.digest != package.manifest.digest:
            trees = source_tree(before), source_tree(package)
            verdicts[package.display_name] = judge(*trees, chainlet_ref(spec), cache)
    return verdicts


def decide(
    old: ChainPackages, new: ChainPackages, verdicts: Mapping[str, Verdict], foreign: Iterable[str] = ()
) -> tuple[Decision, ...]:
    """What each Chainlet of `new` needs, in its order.

    Args:
        old: what runs.
        new: what shall run.
        verdicts: of `judge_sources`.
        foreign: Chainlets whose running code is not that of `old`: somebody else changed it.
    """
    known = {package.display_name: package for package in old}
    strangers = frozenset(foreign)
    return tuple(
        _decide_one(known.get(p.display_name), p, verdicts.get(p.display_name), p.display_name in strangers)
        for p in new
    )


def _decide_one(old: Package | None, new: Package, verdict: Verdict | None, is_foreign: bool) -> Decision:
    name, spec = new.display_name, new.manifest.spec
    if old is None:
        return Decision(
            name, Action.REDEPLOYED, (_reason(spec, "", "it is new in the chain", Action.REDEPLOYED),)
        )
    if is_foreign:
        text = "what runs is not what was here before: somebody else changed it"
        return Decision(name, Action.RESTARTED, (_reason(spec, "", text, Action.RESTARTED),))
    if old.manifest.digest == new.manifest.digest:
        return Decision(name, Action.UNCHANGED)
    reasons = [*package_reasons(old, new), *(verdict.reasons if verdict is not None else ())]
    if verdict is None and not reasons:
        reasons.append(_reason(spec, "", "its package changed", Action.RESTARTED))
    ordered = sorted(reasons, key=lambda r: -r.action.weight)
    action = verdict.action if verdict is not None else Action.UNCHANGED
    for reason in ordered:
        action = action.at_least(reason.action)
    return Decision(name, action, tuple(ordered))


def package_reasons(old: Package, new: Package) -> Iterator[Reason]:
    """What differs besides the source: settings, environment, data."""
    before, after = old.manifest.spec, new.manifest.spec
    for field in _FIELDS if before != after else ():
        if field.of(before) != field.of(after):
            yield _reason(after, field.symbol, f"{field.what} changed", field.action)
    if old.manifest.environment != new.manifest.environment:
        changed = old.manifest.environment.python_version != new.manifest.environment.python_version
        what = "the Python version" if changed else "the requirements"
        yield _reason(after, "requirements", f"{what} changed", Action.REBUILT)
    if _data(old) != _data(new):
        yield _reason(after, "data", "the files of `data_dir` changed", Action.REBUILT)


def _data(package: Package) -> dict[str, str]:
    return {e.path: e.digest for e in package.manifest.files if e.path.startswith(f"{DATA_DIR}/")}


def _reason(spec: ChainletSpec, symbol: str, text: str, action: Action) -> Reason:
    owner = spec.class_name
    return Reason(f"{owner}.{symbol}" if symbol else owner, spec.file, spec.line, (), text, action)


@dataclass(frozen=True, slots=True)
class _Field:
    """A part of the spec, and what a difference in it needs."""

    symbol: str
    what: str
    action: Action
    of: Callable[[ChainletSpec], object]


def _edges(dependencies: tuple[DependencySpec, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple((d.parameter, d.class_name, d.display_name) for d in dependencies)


def _files(assets: AssetsSpec) -> tuple[object, ...]:
    return (assets.cached, assets.external_data, assets.weights)


_FIELDS = (
    _Field("kind", "the kind of chainlet", Action.REDEPLOYED, lambda s: (s.kind, s.mock, s.engine)),
    _Field("class", "the name of its class", Action.REDEPLOYED, lambda s: s.class_name),
    _Field("compute", "`compute`", Action.REDEPLOYED, lambda s: s.compute),
    _Field("autoscaling", "`autoscaling`", Action.REDEPLOYED, lambda s: s.autoscaling),
    _Field("dependencies", "its dependencies", Action.REDEPLOYED, lambda s: _edges(s.dependencies)),
    _Field("docker_image", "`docker_image`", Action.REBUILT, lambda s: s.image),
    _Field("assets", "`assets`", Action.REBUILT, lambda s: _files(s.assets)),
    _Field("secret_keys", "the secrets it reads", Action.RESTARTED, lambda s: s.assets.secret_keys),
    _Field("env_variables", "`env_variables`", Action.RESTARTED, lambda s: s.options.env_variables),
    _Field(
        "options",
        "`options`",
        Action.RESTARTED,
        lambda s: s.options.model_dump(exclude={"env_variables", "metadata"}),
    ),
    _Field("module", "the module of its class", Action.RESTARTED, lambda s: (s.module, s.qualname)),
    _Field("transport", "the kind of its endpoint", Action.RESTARTED, lambda s: s.endpoint.is_websocket),
    _Field(
        "options_of_calls",
        "how it calls its dependencies",
        Action.PATCHED,
        lambda s: tuple(d.options for d in s.dependencies),
    ),
    _Field("context", "whether it takes a context", Action.RELOADED, lambda s: s.takes_context),
    _Field("endpoint", "its endpoint", Action.PATCHED, lambda s: s.endpoint),
)

__all__ = [
    "Decision",
    "chainlet_ref",
    "decide",
    "has_source",
    "judge_sources",
    "package_reasons",
    "source_tree",
]
