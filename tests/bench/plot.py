# SPDX-License-Identifier: Apache-2.0
"""The figures as an SVG: for each scenario CPU time and user instructions of each proxy, as multiples of Sluice's.  Readable on light
and dark pages: no background, colours that stand out from both, text that follows the page where the viewer tells."""
from xml.sax.saxutils import escape

COLOURS = {"sluice": "#1f8fff", "nginx": "#3fa35b", "lua": "#3fa35b", "haproxy": "#e07b39", "splice": "#b0562b", "relay": "#8c8c8c",
           "sluice1": "#7fbfff", "forward": "#7fbfff", "memory": "#7fbfff"}
LABELS = {"sluice1": "sluice, one worker", "forward": "sluice, forwarding", "memory": "sluice, embedded", "lua": "nginx + Lua",
          "splice": "haproxy, splice", "relay": "do-nothing relay"}
TIMES_MAX = 6  # a longer bar is cut there and says how long it is
STYLE = """text{font:12px system-ui,-apple-system,"DejaVu Sans",sans-serif;fill:#6e7b88}
.name{font-weight:600;font-size:13px}.head{font-size:14px;font-weight:600}.inside{fill:#fff}.line{stroke:#8b949e;stroke-width:1;stroke-dasharray:3 3}
@media (prefers-color-scheme:dark){text{fill:#c9d1d9}.inside{fill:#fff}.line{stroke:#6e7681}}"""
WIDTH, LEFT, PANEL, GAP, BAR, STEP = 1000, 175, 330, 80, 13, 16
PANELS = (("us", "CPU time a request (1 = Sluice)", "{:,.1f} µs"), ("insn_u", "user instructions a request (1 = Sluice)", "{:,.0f}"))


def text(x, y, words, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def times(result, peer, column):
    """How many of Sluice's; None where it was not measured."""
    value, mine = result.median(peer, column), result.median("sluice", column)
    return value / mine if value and mine else None


def scales(results):
    """Of each panel: how long a bar of 1 is."""
    found = []
    for column, _, _ in PANELS:
        longest = max((times(result, peer, column) or 1 for result in results.values() for peer in result.figures), default=1)
        found.append(PANEL / min(longest, TIMES_MAX))
    return found


def group(result, top, scale):
    """One scenario: a bar per proxy and panel."""
    parts = [text(0, top + 11, result.scenario.name, "name")]
    for row, peer in enumerate(result.figures):
        y = top + row * STEP
        parts.append(text(LEFT - 8, y + 11, LABELS.get(peer, peer), anchor="end"))
        for index, (column, _, form) in enumerate(PANELS):
            ratio = times(result, peer, column)
            if ratio is None:
                continue
            x, width = LEFT + index * (PANEL + GAP), max(min(ratio, TIMES_MAX) * scale[index], 1)
            label = form.format(result.median(peer, column)) + ("/MiB" if result.scenario.per_mib else "")
            label += f" ({ratio:.1f} ×, cut)" if ratio > TIMES_MAX else ""
            parts.append(f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{COLOURS[peer]}"/>')
            inside = x + width + 130 > WIDTH and ratio > TIMES_MAX
            parts.append(text(x + width - 6 if inside else x + width + 5, y + 11, label, "inside" if inside else "",
                              "end" if inside else "start"))
    return parts, top + len(result.figures) * STEP + 12


def draw(results, note):
    scale = scales(results)
    top, parts = 34, []
    begin = top - 6
    for result in results.values():
        lines, top = group(result, top, scale)
        parts += lines
    for index, (_, title, _) in enumerate(PANELS):
        x = LEFT + index * (PANEL + GAP)
        parts.append(text(x, 16, title, "head"))
        parts.append(f'<line class="line" x1="{x + scale[index]:.1f}" x2="{x + scale[index]:.1f}" y1="{begin}" y2="{top - 6}"/>')
    parts.append(text(0, top + 14, note))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 24}" width="{WIDTH}" height="{top + 24}" role="img" '
            f'aria-label="CPU time and instructions of each proxy beside Sluice">\n<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n")
