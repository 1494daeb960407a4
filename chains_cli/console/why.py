"""The result of `chains why` as text."""

from collections.abc import Iterable

from chains_analysis import Reason
from chains_cli.console.palette import Palette
from chains_cli.operations.affected import AffectedResult
from chains_cli.operations.why import AskedLine, Impact, WhyResult
from chains_protocol.patch import Action


def why_lines(result: WhyResult, palette: Palette) -> Iterable[str]:
    """A line a Chainlet, its reasons below."""
    if result.asked is not None:
        yield from _asked_lines(result, result.asked, palette)
        return
    if result.since is None:
        yield f"{result.file} in chain {result.chain}; no commit to compare with"
    elif result.edited:
        yield f"{result.file} in chain {result.chain}, edited since {result.since}"
    else:
        yield f"{result.file} in chain {result.chain}, as in {result.since}"
    for impact in result.chainlets:
        yield from _impact_lines(impact, result.edited, palette)


def _asked_lines(result: WhyResult, asked: AskedLine, palette: Palette) -> Iterable[str]:
    """What stands at the line, and what an edit there would need."""
    where = f"{result.file}:{asked.at} in chain {result.chain}"
    lines = (
        f"line {asked.line}" if asked.line == asked.end_line else f"lines {asked.line} to {asked.end_line}"
    )
    if asked.symbol:
        yield f"{where}: {asked.what}, {palette.bold(asked.symbol)}, {lines}"
    else:
        yield f"{where}: {asked.what}"
    if not any(impact.reaches for impact in result.chainlets):
        yield "  no chainlet loads it"
        return
    if not result.edited:
        yield "  an edit there changes nothing for any chainlet"
        return
    for impact in result.chainlets:
        name = palette.bold(impact.display_name)
        if not impact.reaches:
            yield f"  {name}: does not load it"
        elif impact.action is Action.UNCHANGED:
            yield f"  {name}: loads it; an edit there leaves it {palette.dim('unchanged')}"
        else:
            yield f"  {name}: an edit there would be {palette.warn(impact.action.value)}"
            for reason in _main_reasons(impact, asked):
                if len(reason.via) > 1:
                    yield palette.dim(f"      through {' → '.join(reason.via)}")
                else:
                    yield f"      {_whether(reason.text)}"


def _main_reasons(impact: Impact, asked: AskedLine) -> list[Reason]:
    """Those that decide: about the symbol itself, if there are any, and the heaviest in any case."""
    heaviest = [r for r in impact.reasons if r.action is impact.action]
    own = [r for r in heaviest if asked.symbol and asked.symbol.endswith(r.symbol)]
    return own or heaviest


def _whether(text: str) -> str:
    """A reason in words for an edit that was not made."""
    return text.replace(" changed", " would change", 1)


def affected_lines(result: AffectedResult, palette: Palette) -> Iterable[str]:
    """The affected Chainlets of each Chain and why; or that there are none."""
    for chain in result.chains:
        hit = [i for i in chain.chainlets if i.action is not Action.UNCHANGED]
        count = f"{len(hit)} of {len(chain.chainlets)} chainlets"
        yield f"{palette.bold(chain.chain)}: {count} affected since {result.since}"
        for impact in hit:
            yield f"  {palette.bold(impact.display_name)}: {palette.warn(impact.action.value)}"
            for reason in impact.reasons:
                yield from _reason_lines(reason, palette)


def _impact_lines(impact: Impact, edited: bool, palette: Palette) -> Iterable[str]:
    name = palette.bold(impact.display_name)
    if not impact.reaches:
        yield f"  {name}: does not load it"
    elif not edited:
        yield f"  {name}: loads it"
    elif impact.action is Action.UNCHANGED:
        yield f"  {name}: {palette.dim('unchanged')}, nothing it uses has changed"
    else:
        again = "; the file is read again" if impact.needs_discovery else ""
        yield f"  {name}: {palette.warn(impact.action.value)}{again}"
        for reason in impact.reasons:
            yield from _reason_lines(reason, palette)


def _reason_lines(reason: Reason, palette: Palette) -> Iterable[str]:
    yield f"    {palette.accent(f'{reason.path}:{reason.line}')} {reason.text}"
    if len(reason.via) > 1:
        yield palette.dim(f"      through {' → '.join(reason.via)}")


__all__ = ["affected_lines", "why_lines"]
