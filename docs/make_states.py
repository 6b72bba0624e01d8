"""Draw reference/states.svg, a request's life, from the ledger's table: python
docs/make_states.py.
"""

from __future__ import annotations

from pathlib import Path

from alteraser.ledger.states import FINAL, TABLE, WAITING

OUT = Path(__file__).parent / "reference" / "states.svg"

ROW = (
    "received",
    "verified",
    "queued",
    "executing",
    "scrubbed",
    "checked",
    "published",
    "receipted",
    "completed",
)
GAP = 58
"""Room for a word between two boxes of the row"""


def width(state: str) -> float:
    """Half of a box's width: by its word."""
    return 3.7 * len(state) + 8


def places() -> dict[str, tuple[float, float]]:
    """Status → the middle of its box: the row, and what stands above and below it."""
    at: dict[str, tuple[float, float]] = {}
    x = 16.0
    for state in ROW:
        at[state] = (x + width(state), 150)
        x += 2 * width(state) + GAP
    return at | {
        "unverified": (at["received"][0], 50),
        "rejected": (at["verified"][0] + 10, 50),
        "held": (at["queued"][0], 50),
        "completed_nothing_found": (at["receipted"][0] + 30, 50),
        "cancelled": (at["received"][0], 300),
        "duplicate_of": (at["verified"][0] + 40, 300),
        "failed": ((at["executing"][0] + at["scrubbed"][0]) / 2 + 30, 300),
    }


PLACES = places()
"""Status → the middle of its box"""

FILLS = {"final": "#e4eed9", "waiting": "#f7ecd3", "working": "#dbe7f3"}
HALF = 14
"""Half of a box's height"""

BOTH = {(start, to) for (start, _), to in TABLE.items()}
"""Which boxes an arrow joins"""


def kind(state: str) -> str:
    """``final``, ``waiting`` or ``working``, which is what the color says."""
    return "final" if state in FINAL else "waiting" if state in WAITING else "working"


def box(state: str) -> str:
    """A status, in its color."""
    (x, y), half = PLACES[state], width(state)
    return (
        f'<rect x="{x - half:g}" y="{y - HALF}" width="{2 * half:g}" height="{2 * HALF}" rx="6" '
        f'fill="{FILLS[kind(state)]}" stroke="#8a96a3"/>'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle">{state}</text>'
    )


def word(x: float, y: float, text: str, anchor: str = "middle") -> str:
    """What happens, beside its arrow."""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="11" fill="#55606c" '
        f'stroke="#ffffff" stroke-width="3" paint-order="stroke">{text}</text>'
    )


def line(path: str) -> str:
    """One arrow."""
    return f'<path d="{path}" fill="none" stroke="#3b4754" marker-end="url(#a)"/>'


def arrow(start: str, happens: str, to: str) -> str:
    """One line of the table: straight, or bent below the row where it goes back along it."""
    (x, y), (u, v) = PLACES[start], PLACES[to]
    if y == v and u > x:
        x, u = x + width(start), u - width(to)
        return line(f"M{x:g} {y:g}L{u:g} {v:g}") + word((x + u) / 2, y - 6, happens)
    if y == v:
        x, u, y = x - 12, u + 12, y + HALF
        low = y + 24 + 0.16 * (x - u)
        path = f"M{x:g} {y:g}C{x - 20:g} {low:g} {u + 20:g} {low:g} {u:g} {y:g}"
        return line(path) + word((x + u) / 2, y + 0.75 * (low - y) + 3, happens)
    way = 1 if v > y else -1
    shift = 9 * way if (to, start) in BOTH else 0  # two ways between the same boxes: side by side
    x, u, y, v = x + shift, u + shift, y + way * HALF, v - way * HALF
    anchor = "end" if shift < 0 else "start"
    side = 5 if shift >= 0 else -5
    far = 0.3 if shift else 0.6  # along the arrow, so that the words of neighbors do not meet
    middle = (x + far * (u - x) + side, y + far * (v - y) + 4)
    return line(f"M{x:g} {y:g}L{u:g} {v:g}") + word(*middle, happens, anchor)


def picture() -> str:
    """The whole page. Cancelling is said by the color, so that no lines cross for it."""
    arrows = [
        arrow(start, happens, to) for (start, happens), to in TABLE.items() if happens != "cancel"
    ]
    said = "; ".join(f"{start}: {happens}: {to}" for (start, happens), to in TABLE.items())
    legend = "".join(
        f'<rect x="{x}" y="352" width="14" height="14" rx="3" fill="{FILLS[what]}" '
        f'stroke="#8a96a3"/><text x="{x + 20}" y="364" font-size="12">{words}</text>'
        for x, what, words in (
            (20, "waiting", "waiting: may be cancelled"),
            (210, "working", "in a batch"),
            (310, "final", "nothing is owed any more"),
        )
    )
    head = (
        '<marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L10 5L0 10z" fill="#3b4754"/></marker>'
    )
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1196 390" role="img" '
            'aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="13">',
            '<title id="t">What may happen to a request</title>',
            f'<desc id="d">{said}</desc>',
            '<rect width="1196" height="390" fill="#ffffff"/>',
            f"<defs>{head}</defs>",
            *arrows,
            *[box(state) for state in PLACES],
            legend,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    OUT.write_text(picture(), encoding="utf-8")
