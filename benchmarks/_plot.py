"""Lines over sizes as an SVG, written by hand: no chart library, the same bytes for the same numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 300, 220
_LEFT, _TOP, _RIGHT, _BOTTOM = 50, 34, 14, 40
_STYLE = (
    "text{font:11px sans-serif;fill:#333}.title{font-weight:bold}.axis{stroke:#999}"
    ".fit{stroke:#bbb;stroke-dasharray:4 3}.seen{stroke:#1f6fb2;fill:none;stroke-width:2}circle{fill:#1f6fb2}"
)


@dataclass(frozen=True)
class Panel:
    """One line: `points` are (size, value); the straight line that fits them best is drawn beside."""

    title: str
    x_label: str
    y_label: str
    points: Sequence[tuple[float, float]]


def svg(panels: Sequence[Panel], columns: int = 3) -> str:
    """The panels, row by row."""
    rows = -(-len(panels) // columns)
    width, height = min(columns, len(panels)) * _WIDTH, rows * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        parts.append(f'<g transform="translate({column * _WIDTH} {row * _HEIGHT})">')
        parts += _panel(panel)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def fit(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Start and slope of the straight line with the least squares."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    return mean_y - slope * mean_x, slope


def _panel(panel: Panel) -> Iterable[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    largest_x, largest_y = max(x for x, _ in panel.points), max(y for _, y in panel.points) * 1.1

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + x / largest_x * (right - _LEFT), bottom - y / largest_y * (bottom - _TOP)

    yield f'<text class="title" x="{_LEFT}" y="18">{escape(panel.title)}</text>'
    yield f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none"/>'
    for x in sorted({x for x, _ in panel.points}):
        across, _ = at(x, 0)
        yield f'<text x="{across:.1f}" y="{bottom + 14}" text-anchor="middle">{x:g}</text>'
    for step in range(5):
        y = largest_y * step / 4
        _, down = at(0, y)
        yield f'<text x="{_LEFT - 5}" y="{down + 4:.1f}" text-anchor="end">{y:.2f}</text>'
    yield f'<text x="{right}" y="{bottom + 30}" text-anchor="end">{escape(panel.x_label)}</text>'
    yield f'<text x="{_LEFT + 6}" y="{_TOP + 8}">{escape(panel.y_label)}</text>'
    start, slope = fit(panel.points)
    (x1, y1), (x2, y2) = at(0, max(start, 0)), at(largest_x, max(start + slope * largest_x, 0))
    yield f'<path class="fit" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'
    places = [at(x, y) for x, y in panel.points]
    yield f'<path class="seen" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)


__all__ = ["Panel", "fit", "svg"]
