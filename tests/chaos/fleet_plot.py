# SPDX-License-Identifier: Apache-2.0
"""Plots of the fleet's page, as SVG that is readable on light and dark pages."""
import math
import pathlib
from xml.sax.saxutils import escape

STYLE = """text{font:12px system-ui,-apple-system,"DejaVu Sans",sans-serif;fill:#6e7b88}.head{font-size:14px;font-weight:600}
.line{stroke:#8b949e;stroke-width:1;stroke-dasharray:3 3}.axis{stroke:#8b949e;stroke-width:1}
@media (prefers-color-scheme:dark){text{fill:#c9d1d9}}"""
BLUE, ORANGE = "#1f8fff", "#e07b39"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 320, 60, 20, 44, 50


def _text(x, y, words, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


class Chart:
    """x: logarithmic, y: linear; (low, high) of each."""

    def __init__(self, title, x_label, xs, ys):
        self.xs, self.ys = xs, ys
        self.parts = [_text(0, 16, title, "head"), _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, anchor="middle")]
        self.title = title

    def x(self, value):
        low, high = (math.log10(v) for v in self.xs)
        return LEFT + (math.log10(max(value, self.xs[0])) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        low, high = self.ys
        return HEIGHT - BOTTOM - (min(max(value, low), high) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def axes(self, x_ticks, y_ticks, x_form="{:,.0f}", y_form="{:,.0f}"):
        base = HEIGHT - BOTTOM
        self.parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
        for tick in x_ticks:
            self.parts.append(_text(self.x(tick), base + 16, x_form.format(tick), anchor="middle"))
        for tick in y_ticks:
            self.parts.append(f'<line class="line" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(tick):.1f}" y2="{self.y(tick):.1f}"/>')
            self.parts.append(_text(LEFT - 6, self.y(tick) + 4, y_form.format(tick), anchor="end"))

    def dot(self, x, y, colour, size=2.2):
        self.parts.append(f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{size}" fill="{colour}" fill-opacity="0.55"/>')

    def line(self, points, colour):
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')

    def legend(self, rows):
        for number, (words, colour) in enumerate(rows):
            x = LEFT + 10 + number * 260
            self.parts.append(f'<rect x="{x}" y="24" width="10" height="10" fill="{colour}"/>')
            self.parts.append(_text(x + 15, 33, words))

    def svg(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
                f'aria-label="{escape(self.title)}">\n<style>{STYLE}</style>\n' + "\n".join(self.parts) + "\n</svg>\n")


def used(judge, name, rows):
    """rows: (limit, admitted, asked) of each window.  How much of its limit each used, by how often it asked for it."""
    chart = Chart("Admitted, as a part of the limit, in each whole minute of each user", "asked for, as a multiple of the limit (logarithmic)",
                  (0.25, 20), (0, 1.1))
    chart.axes((0.25, 0.5, 1, 2, 5, 10, 20), (0, 0.25, 0.5, 0.75, 1), "{:g}", "{:.0%}")
    marked = set()
    for limit, admitted, asked in rows:
        place = (round(math.log10(max(asked / limit, 0.01)), 2), round(admitted / limit, 3), limit <= 100)
        if asked and place not in marked:  # one dot where many lie
            marked.add(place)
            chart.dot(asked / limit, admitted / limit, ORANGE if limit <= 100 else BLUE)
    chart.legend([("limits of at most 100 a minute", ORANGE), ("limits above", BLUE)])
    keep(judge, name, chart)


def keep(judge, name, chart):
    """Drawn into docs/ when the page is written."""
    judge.plots[f"fleet-{name}.svg"] = chart.svg()


def write(folder, plots):
    for name, svg in plots.items():
        (pathlib.Path(folder) / name).write_text(svg)
