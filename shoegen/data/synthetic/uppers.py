"""Everything above the sole: walls, panels, closures; in the foot's frame until it is lifted."""

from __future__ import annotations

import numpy as np

from shoegen.data.synthetic.canvas import FASTENING, OPENING, SHAFT, UPPER, Canvas, seam, shade, tonal
from shoegen.data.synthetic.geometry import Last, Upper, along_sides, ankle_seam, band, part_of, spline
from shoegen.data.synthetic.parameters import Color, ShoeParameters

INSIDE = 0.62  # the lining's tone in the shoe's own shadow


def draw_closed_upper(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper) -> None:
    """Shoes and boots: the far wall seen from inside, the near wall before it, and what is sewn on."""
    lift = last.lift
    canvas.fill(lift(upper.opening), shade(p.lining_color, INSIDE), OPENING)
    canvas.line(lift(upper.far), shade(p.upper_color, 0.8), 1.6, canvas.mask(lift(upper.opening)))
    outline = lift(upper.outline)
    canvas.fill(outline, p.upper_color, UPPER)
    within = canvas.mask(outline)

    if p.is_boot:
        _draw_shaft(canvas, p, last, within)
    if p.style == "sneaker":
        _draw_sneaker_panels(canvas, p, last, upper, within)
    if p.style == "loafer":
        apron = [(0.045, 0.42), (0.12, 0.60), (0.22, 0.72), (0.31, 0.80)]
        canvas.line(lift(spline(last.place(apron) * (1, p.toe_height))), seam(p.upper_color), 1.6, within)
    _draw_ends(canvas, p, last, upper, within)
    _draw_topline(canvas, p, last, upper, within)
    draw_closure = {
        "laces": _draw_laces,
        "strap": _draw_strap,
        "t_bar": _draw_strap,
        "zip": _draw_zip,
        "gore": _draw_gore,
    }
    if p.closure != "none":
        draw_closure[p.closure](canvas, p, last, upper, within)


def draw_sandal(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper) -> None:
    """Bands over the toes and a heel counter on a footbed, and a strap around the ankle."""
    lift, place = last.lift, last.place
    everywhere = np.full_like(canvas.parts, 255)
    strap_color = p.accent_color if p.two_tone else tonal(p.upper_color)
    lining = shade(p.lining_color, INSIDE)
    throat = p.vamp_length / 500
    h = p.toe_height

    # The ankle strap goes around behind first, then the counter, the toe bands, and the strap's near side.
    rear = (0.965, 62 + p.counter_height)
    front = (0.56 + throat, 82)
    far = spline(place([front, (0.66, 88), (0.82, 84), rear]))
    near = spline(place([front, (0.60 + throat, 66), (0.75, 56), rear]))
    canvas.panel(lift(band(far, 7.0)), shade(strap_color, 0.6), everywhere, OPENING)

    counter = spline(place([(0.81, -2), (0.845, 30), (0.90, 54), rear]))
    inside = spline(place([(0.77, -2), (0.80, 26), (0.87, 52), rear]))
    canvas.fill(lift(np.concatenate([inside, counter[::-1]])), lining, OPENING)
    outline = lift(np.concatenate([counter, upper.back[::-1]]))
    canvas.fill(outline, p.upper_color, UPPER)
    canvas.line(lift(counter), seam(p.upper_color), 1.4, canvas.mask(outline))

    stop = 0.335 + throat / 2
    for begin, end in ((0.10, 0.19), (0.235, stop)) if p.toe_cap else ((0.13, stop),):
        u = np.linspace(begin + 0.012, end, 8)
        foot = np.stack([u, h * (0.22 + 0.86 * np.sin(np.pi / 2 * np.minimum(u / 0.40, 1)))], 1)
        leading = spline([(begin + 0.035, -2), (begin + 0.005, 0.3 * h), foot[0]])
        trailing = spline([foot[-1], (end + 0.012, 0.5 * h), (end - 0.005, -2)])
        inside = spline([foot[-1], (end + 0.035, 0.62 * h), (end + 0.04, -2)])
        canvas.fill(lift(place(np.concatenate([inside, trailing[::-1]]))), lining, OPENING)
        outline = lift(place(np.concatenate([leading, foot, trailing])))
        canvas.fill(outline, p.upper_color, UPPER)
        within = canvas.mask(outline)
        for edge in (leading, trailing):
            canvas.line(lift(place(edge)), seam(p.upper_color), 1.8, within)

    if p.closure == "t_bar":
        bar = spline(place([(0.32, 1.1 * h), (0.40, 1.2 * h + 6), (0.48, 68), front]))
        canvas.panel(lift(band(bar, 9.0)), strap_color, everywhere, FASTENING)
    canvas.panel(lift(band(near, 9.0)), strap_color, everywhere, FASTENING)
    canvas.line(lift(near + (0, -1)), seam(strap_color), 1.0, canvas.mask_of(FASTENING))
    _draw_buckle(canvas, p, last, (0.76, 52), everywhere)


def _stitches(color: Color) -> Color:
    return shade(color, 0.7 if sum(color) > 300 else 1.35)


def _draw_shaft(canvas: Canvas, p: ShoeParameters, last: Last, within: np.ndarray) -> None:
    ankle = ankle_seam(last)
    shaft = np.concatenate([ankle, [(1.1 * p.shoe_length, 400), (0.30 * p.shoe_length, 400)]])
    tone = p.accent_color if p.stripe == "band" else tonal(p.upper_color, 0.86, 1.10)
    canvas.panel(last.lift(shaft), tone, within, SHAFT)
    canvas.line(last.lift(ankle), seam(p.upper_color), 1.6, within)
    if p.stitching:
        canvas.dashes(last.lift(ankle - (0, 4)), _stitches(p.upper_color), within)


def _draw_sneaker_panels(
    canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper, within: np.ndarray
) -> None:
    lift, place = last.lift, last.place
    tone = tonal(p.upper_color)
    if p.mudguard:
        wave = [(-0.02, 22), (0.12, 20), (0.26, 13), (0.45, 10), (0.62, 13), (0.80, 20), (1.02, 30)]
        edge = spline(place(wave))
        canvas.panel(lift(np.concatenate([edge, place([(1.02, -4), (-0.02, -4)])])), tone, within)
        canvas.line(lift(edge), seam(tone), 1.0, within)
    if p.stripe == "bars":
        for u in (0.47, 0.54, 0.61):
            bar = place([(u, 2), (u + 0.035, 2), (u - 0.005, 62), (u - 0.04, 62)])
            canvas.panel(lift(bar), p.accent_color, within)
    elif p.stripe == "sweep":
        sweep = [(0.36, 14), (0.46, 10), (0.60, 20), (0.90, 55), (0.58, 32), (0.45, 27), (0.36, 14)]
        canvas.panel(lift(spline(place(sweep))), p.accent_color, within)
    elif p.stripe == "band":
        canvas.panel(lift(place([(0.42, -3), (0.58, -3), (0.66, 70), (0.52, 70)])), p.accent_color, within)
    canvas.panel(lift(band(upper.near, 9.0)), tonal(p.upper_color, 0.8, 1.2), within)  # the padded collar


def _draw_ends(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper, within: np.ndarray) -> None:
    """Toe cap, heel counter and pull tab."""
    lift = last.lift
    if p.toe_cap:
        cut = 0.9 * p.toe_length
        cap = np.array([(cut, -5), (cut - 5, 20), (cut - 2, 36), (cut + 4, 70)])
        tone = p.accent_color if p.two_tone else tonal(p.upper_color, 0.8)
        canvas.panel(lift(np.concatenate([cap, [(-5, 70), (-5, -5)]])), tone, within)
        canvas.line(lift(spline(cap)), seam(tone), 1.3, within)
    if p.counter_panel:
        top = 48 if p.is_boot else 0.8 * upper.back[:, 1].max()
        edge = spline(last.place([(0.76, -3), (0.80, 0.55 * top), (0.88, 0.9 * top), (1.02, top)]))
        tone = p.accent_color if p.two_tone else tonal(p.upper_color, 0.85)
        canvas.panel(lift(np.concatenate([edge, [(1.1 * p.shoe_length, -3)]])), tone, within)
        canvas.line(lift(edge), seam(tone), 1.2, within)
    elif p.two_tone and p.style == "sneaker":
        tab = along_sides(last.place([(0.945, 50), (0.985, 50), (0.99, 90), (0.945, 90)]))
        canvas.panel(lift(tab), p.accent_color, within)


def _draw_topline(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper, within: np.ndarray) -> None:
    if p.stripe == "band" and p.style != "sneaker":
        canvas.panel(last.lift(band(upper.near, 5.0)), p.accent_color, within)  # a piped edge
    else:
        canvas.line(last.lift(upper.near), seam(p.upper_color), 2.0, within)
    if p.stitching and p.style != "sneaker":
        canvas.dashes(last.lift(upper.near - (0, 7)), _stitches(p.upper_color), within)


def _draw_laces(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper, within: np.ndarray) -> None:
    """A laced strip along the instep: the fastening is the whole strip, tongue and laces."""
    start, stop = {"sneaker": (0.46, 0.90), "loafer": (0.58, 0.93)}.get(p.style, (0.42, 0.88))
    width = 14.0 if p.style == "loafer" else 17.0
    ridge = part_of(upper.vamp, start, stop)
    strip = band(ridge, width)
    inner = strip[len(ridge) :][::-1]
    canvas.panel(last.lift(strip), tonal(p.upper_color, 0.55, 1.25), within, FASTENING)
    rows = max(3, round(float(np.hypot(*np.diff(ridge, axis=0).T).sum()) / 11))
    for i in np.linspace(1, len(ridge) - 3, rows).astype(int):
        canvas.line(last.lift(np.stack([ridge[i], inner[i + 2]])), p.lace_color, 5.2, within, FASTENING)
    canvas.line(last.lift(inner), seam(p.upper_color), 1.2, within)


def _draw_strap(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper, within: np.ndarray) -> None:
    """A loafer's saddle strap, a boot's ankle strap, or a bar across the instep (Mary Jane)."""
    lift, place = last.lift, last.place
    tone = p.accent_color if p.two_tone else tonal(p.upper_color, 0.75, 1.16)
    if p.style == "loafer":
        front, back = [(0.30, -3), (0.315, 30), (0.31, 80)], [(0.385, -3), (0.40, 30), (0.385, 80)]
        canvas.panel(lift(place(front + back[::-1])), tone, within, FASTENING)
        for edge in (front, back):
            canvas.line(lift(spline(place(edge))), seam(tone), 1.2, within)
        if p.stitching:
            plate = place([(0.325, 34), (0.375, 34), (0.372, 46), (0.328, 46)])
            canvas.panel(lift(plate), p.hardware_color, within, FASTENING)
    elif p.is_boot:
        top = ankle_seam(last) - (0, 4)
        canvas.panel(lift(np.concatenate([top, top[::-1] - (0, 13)])), tone, within, FASTENING)
        _draw_buckle(canvas, p, last, (0.70, 52), within)
    else:
        u = 0.50 + p.vamp_length / 500
        strap = along_sides(place([(u, 4), (u + 0.058, 4), (u + 0.04, 62), (u - 0.02, 62)]))
        over = within | canvas.mask_of(OPENING)
        canvas.panel(lift(strap), tone, over, FASTENING)
        _draw_buckle(canvas, p, last, (u + 0.024, 24), within)


def _draw_zip(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper, within: np.ndarray) -> None:
    top = p.shaft_height / last.scale
    line = last.lift(spline(last.place([(0.73, 14), (0.735, 60), (0.745, top - 8)])))
    canvas.line(line, tonal(p.upper_color, 0.5, 1.3), 6.5, within, FASTENING)
    canvas.line(line, p.hardware_color, 2.2, within, FASTENING)


def _draw_gore(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper, within: np.ndarray) -> None:
    """A Chelsea boot's elastic: ribbed, from the top down to the ankle."""
    top = p.shaft_height / last.scale
    tone = shade(p.accent_color, 0.75)
    left, right = (
        [(0.66, top + 8), (0.675, 0.6 * top), (0.70, 40)],
        [(0.80, 40), (0.835, 0.6 * top), (0.85, top + 8)],
    )
    canvas.panel(last.lift(spline(last.place([*left, (0.75, 32), *right]))), tone, within, FASTENING)
    elastic = canvas.mask_of(FASTENING)
    for u in np.linspace(0.69, 0.82, 6):
        canvas.line(last.lift(last.place([(u, 36), (u, top)])), seam(tone), 1.0, elastic)


def _draw_buckle(
    canvas: Canvas, p: ShoeParameters, last: Last, at: tuple[float, float], within: np.ndarray
) -> None:
    centre = last.lift(last.place([at]))
    frame = np.array([(-5.5, -7), (5.5, -7), (5.5, 7), (-5.5, 7)])
    canvas.panel(centre + frame, p.hardware_color, within, FASTENING)
    canvas.panel(centre + 0.45 * frame, shade(p.hardware_color, 0.45), within, FASTENING)
