"""Line plots as inline SVG: no script, no file beside it, colours from the page (light or dark)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 28
_TICKS = 4
_MOST_POINTS = 400


@dataclass(frozen=True)
class Series:
    """Points ``(x, y)`` in order of x. ``dots``: few points that were measured one by one, each with its value."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


def line_plot(title: str, series: Sequence[Series], *, x_label: str = "step", boundary: float | None = None) -> str:
    """A figure with its title as HTML, or "" where there is nothing to draw. ``boundary``: an x to mark with a line.

    Points that are not finite are left out.
    """
    drawn = [Series(one.name, _thinned(one.points), one.dots) for one in series]
    drawn = [one for one in drawn if one.points]
    if not drawn:
        return ""
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    x_ticks, y_ticks = nice_ticks(min(xs), max(xs)), nice_ticks(min(ys), max(ys))
    across = _Scale((min(xs), max(xs)), (_LEFT, WIDTH - _RIGHT))
    up = _Scale((min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))), (HEIGHT - _BOTTOM, _TOP))
    parts = [_grid(x_ticks, y_ticks, across, up)]
    if boundary is not None and min(xs) < boundary < max(xs):
        at = across(boundary)
        parts.append(f'<line class="boundary" x1="{at}" x2="{at}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
    parts += [_line(number, one, across, up, x_label) for number, one in enumerate(drawn, start=1)]
    parts.append(f'<text class="axis" x="{WIDTH - _RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{escape(x_label)}</text>')
    label = escape(f"{title}: {', '.join(_in_words(one) for one in drawn)}", quote=True)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(title)}{_legend(drawn)}</figcaption>{svg}</figure>"


def nice_ticks(low: float, high: float) -> list[float]:
    """About four round numbers from at most ``low`` to at least ``high``."""
    if high - low < 1e-9 * max(1.0, abs(low)):
        low, high = low - 0.5 * max(abs(low), 1e-3), high + 0.5 * max(abs(high), 1e-3)
    raw = (high - low) / _TICKS
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * one for one in (1, 2, 2.5, 5, 10) if size * one >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [one * step for one in range(first, last + 1)]


class _Scale:
    """Maps numbers to places in the picture."""

    def __init__(self, numbers: tuple[float, float], places: tuple[float, float]) -> None:
        self._low, self._from = numbers[0], places[0]
        span = numbers[1] - numbers[0]
        self._factor = (places[1] - places[0]) / span if span > 0 else 0.0

    def __call__(self, value: float) -> float:
        return round(self._from + (value - self._low) * self._factor, 1)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Finite points; of very many, means of neighbours."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    size = math.ceil(len(finite) / _MOST_POINTS) or 1
    groups = [finite[i : i + size] for i in range(0, len(finite), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _grid(x_ticks: list[float], y_ticks: list[float], across: _Scale, up: _Scale) -> str:
    lines = []
    for tick in y_ticks:
        y = up(tick)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        lines.append(f'<text class="axis" x="{_LEFT - 5}" y="{y + 3.5}" text-anchor="end">{_short(tick)}</text>')
    for tick in x_ticks:
        x = across(tick)
        if _LEFT <= x <= WIDTH - _RIGHT - 24:  # the name of the axis stands at the end
            lines.append(f'<text class="axis" x="{x}" y="{HEIGHT - _BOTTOM + 14}" text-anchor="middle">')
            lines.append(f"{_short(tick)}</text>")
    return "".join(lines)


def _line(number: int, series: Series, across: _Scale, up: _Scale, x_label: str) -> str:
    places = " ".join(f"{across(x)},{up(y)}" for x, y in series.points)
    parts = [f'<polyline class="line s{number}" points="{places}"/>'] if len(series.points) > 1 else []
    if series.dots or len(series.points) == 1:
        for x, y in series.points:
            told = escape(f"{series.name}, {x_label} {_short(x)}: {y:.4g}")
            parts.append(f'<circle class="dot s{number}" cx="{across(x)}" cy="{up(y)}" r="3">')
            parts.append(f"<title>{told}</title></circle>")
    return "".join(parts)


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    keys = (f'<span class="key s{n}">{escape(one.name)}</span>' for n, one in enumerate(series, start=1))
    return f'<span class="legend">{"".join(keys)}</span>'


def _in_words(series: Series) -> str:
    return f"{series.name} from {series.points[0][1]:.4g} to {series.points[-1][1]:.4g}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
