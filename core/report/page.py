"""The page about a run: one HTML file that needs no network and no script, and opens the same in twenty years."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.images.thumbnails import ensure_thumbnail
from core.library.library import Library
from core.library.queries import image_rows
from core.library.records import ImageRow
from core.report.document import NO_JUDGE, PAGE, TITLES, Figure, Gain, PageData, PhotoCaptions, Row
from core.report.plots import Series, line_plot
from core.training.gate_words import in_plain_words
from core.training.runfolder import CONFIG, METRICS, RunFolder, read_report, read_rows, write_text

COLUMNS = (
    ("clip_s", "CLIP-S", ".3f"),
    ("r1", "R@1 %", ".1f"),
    ("r5", "R@5 %", ".1f"),
    ("mrr", "MRR", ".3f"),
    ("cider", "CIDEr-D", ".1f"),
    ("nll", "NLL", ".2f"),
    ("fluency_nll", "wording NLL", ".2f"),
    ("unique_ratio", "different", ".2f"),
    ("rep2", "rep-2", ".3f"),
    ("length", "words", ".1f"),
)
_EVALUATIONS = (
    ("clip_s", "Fit to held-out photos (CLIP-S)"),
    ("mrr", "Finding its photo among the held-out (MRR)"),
    ("cider", "Agreement with your held-out captions (CIDEr-D)"),
    ("fluency_nll", "How unusual the wording is (nats a token)"),
    ("length", "Words in a caption"),
    ("unique_ratio", "Share of different captions"),
)
_STYLE = Path(__file__).with_name("page.css")


def write_page(library: Library, run: Path) -> Path:
    """Write ``report.html`` into the folder of a finished run, from what lies there and the library's photos.

    Raises:
        UserError: the run has no report, or none that a page can be made of.
    """
    report = read_report(run)
    try:
        data = PageData.from_dict(report["page"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"The report of {run.name} holds nothing to show: it was made by an earlier version, or is damaged.",
            f"Measure again with: seedcap report {library.path} --run {run.name} --again",
        ) from error
    rows = {row.id: row for row in image_rows(library, [one.image_id for one in data.photos])}
    config = (run / CONFIG).read_text(encoding="utf-8") if (run / CONFIG).is_file() else ""
    names = (run.name, library.name)
    text = render(names, report, data, read_rows(run / METRICS), config, rows.get)
    write_text(run / PAGE, text)
    return run / PAGE


def save_page_data(run: Path, data: PageData) -> None:
    """Keep it in the run's report, beside what is there."""
    RunFolder(run).add_to_report(page=data.to_dict())


def render(
    names: tuple[str, str],
    report: Mapping[str, Any],
    data: PageData,
    metrics: Sequence[Mapping[str, Any]],
    config: str,
    photo: Callable[[int], ImageRow | None],
) -> str:
    """The whole page as text; captions and names are escaped.

    ``names``: of the run and of the library. ``photo`` finds a photo by its id.
    """
    run_id, library = names
    parts = [
        f"<header><h1>Training {escape(run_id)}</h1><p class='muted'>{escape(library)}, "
        f"preset {escape(str(report.get('preset', '')))}, random seed {escape(str(report.get('seed', '')))}, "
        f"{float(report.get('seconds') or 0) / 60:.1f} minutes of work, pauses left out</p></header>",
        _in_short(report, data),
        _verdict(report),
        _table(data),
        _curves(metrics),
        _seeds(data),
        _photos(data, photo),
        _section("Settings", f"<details><summary>All of them</summary><pre>{escape(config)}</pre></details>"),
    ]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Training {escape(run_id)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _in_short(report: Mapping[str, Any], data: PageData) -> str:
    """What came of it without a word of the trade: the model that was kept beside what the training began with."""
    rows = {row.key: row for row in data.rows}
    kept = str(report["kept"])
    if kept == "before":
        said = ["What was learned this time is not better than what there was, so nothing changes."]
    else:
        after = "after practising on photos without captions" if kept == "stage2" else "after learning your wording"
        told = f"The new model of this training is as it was {after}."
        said = [f"{told} {report['taken_over']}" if report.get("taken_over") else told]
        if kept in rows and "before" in rows:
            now, before = rows[kept].figures, rows["before"].figures
            said += _compared(now, before)
            if kept == "stage1" and "cider" in now and "cider" in before and now["cider"].value < before["cider"].value:
                said.append(
                    "It finds what you wrote likelier all the same: it has your words, and not yet when to use them. "
                    "More captions help with that."
                )
            firsts = [one for one in data.gains if (one.later, one.earlier, one.figure) == (kept, "before", "r1")]
            if any(one.low <= 0 <= one.high for one in firsts):
                said.append("The difference in finding them may be chance.")
    photos = rows[kept].photos if kept in rows else 0
    if photos:
        learned = "that it learned from, as there were too few to hold some out"
        what = learned if data.on_practice else "it never learned from"
        said.append(f"All of it is judged on {photos} photos {what}.")
    watch = [
        in_plain_words(*(str(gate[part]) for part in ("name", "state", "sentence")))
        for gate in report.get("gates") or ()
        if gate["state"] != "green"
    ]
    if watch and kept == "stage2":
        said.append(f"Worth a look in its captions: {' '.join(watch)}")
    return _section("In short", "".join(f"<p>{escape(one)}</p>" for one in said))


def _compared(now: Mapping[str, Figure], before: Mapping[str, Figure]) -> list[str]:
    said = []
    if "r1" in now and "r1" in before:
        first, last = before["r1"].value, now["r1"].value
        said.append(f"Of 100 of its captions {last:.0f} find their own photo before all others; it was {first:.0f}.")
    if "cider" in now and "cider" in before:
        first, last = before["cider"].value, now["cider"].value
        by = f"{last:.1f} after {first:.1f}, by a measure without a top"
        same = f"{last:.1f}" == f"{first:.1f}"  # as it is shown
        than = "as much like you as" if same else f"{'more' if last > first else 'less'} like you than"
        said.append(f"It speaks {than} before: {by}.")
    return said


def _verdict(report: Mapping[str, Any]) -> str:
    kept = TITLES.get(str(report["kept"]), str(report["kept"]))
    lines = [f"<p class='kept'>Kept: {escape(kept)}</p>", f"<p>{escape(str(report.get('reason', '')))}</p>"]
    lines += [f"<p class='muted'>{escape(str(note))}</p>" for note in report.get("notes") or ()]
    gates = report.get("gates") or ()
    if gates:
        items = "".join(
            f"<tr><td><span class='gate {escape(str(gate['state']))}'>{escape(str(gate['state']))}</span></td>"
            f"<td>{escape(str(gate['name']))}</td><td>{escape(str(gate['sentence']))}</td></tr>"
            for gate in gates
        )
        lines.append(f"<h3>What the gates said of stage 2</h3><table class='gates'>{items}</table>")
    return _section("What came of it", "".join(lines))


def _table(data: PageData) -> str:
    shown = [column for column in COLUMNS if any(column[0] in row.figures for row in data.rows)]
    if not data.rows:
        return ""
    head = "".join(f"<th>{escape(title)}</th>" for _, title, _ in shown)
    body = "".join(_row(row, shown) for row in data.rows)
    where = "photos it learned from, as there were too few to hold some out" if data.on_practice else "held-out photos"
    table = (
        f"<div class='wide'><table><thead><tr><th>captions of</th><th>photos</th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
        f"<p class='muted'>On {where}; brackets: 95% of 1,000 bootstrap resamples of the photos. A caption's photo is "
        "ranked among all of them by the encoder that also gives the reward. CLIP-S, R@k, MRR, CIDEr-D: higher is "
        "better; of fewer than 20 captions the interval of CIDEr-D is too narrow. NLL: nats a token of your held-out "
        "captions, lower is better.</p><p class='muted'>In plain words: CLIP-S is how well caption and photo go "
        "together; R@1 and R@5 how many of 100 captions find their photo first, or among the first five; MRR is 1 "
        "where all find it first; CIDEr-D how much is said as you say it; NLL how unexpected your own captions "
        "are to the model; rep-2 how much of a caption repeats itself.</p>"
    )
    return _section("Side by side", table + _gains(data.gains) + _second(data))


def said_judge(data: PageData) -> str:
    """Who judged besides the encoder that rewarded, and what it found, in a sentence."""
    return NO_JUDGE if data.judged is None else data.judged.sentence()


def _second(data: PageData) -> str:
    said = f"<p>{escape(said_judge(data))}</p>"
    if data.judged is None:
        return said
    found = data.judged.rows
    body = "".join(
        f"<tr><td>{escape(title)}</td><td>{one.photos}</td><td>{one.clip_s:.3f}</td><td>{one.r1:.1f}</td>"
        f"<td>{one.mrr:.3f}</td></tr>"
        for key, title in TITLES.items()
        if (one := found.get(key)) is not None
    )
    head = "<tr><th>captions of</th><th>photos</th><th>CLIP-S</th><th>R@1 %</th><th>MRR</th></tr>"
    view = ", photos mirrored and closer" if data.judged.mirrored else ""
    title = f"<h3>By {escape(data.judged.encoder)}{view}</h3>"
    return f"{title}<div class='wide'><table><thead>{head}</thead><tbody>{body}</tbody></table></div>{said}"


def _row(row: Row, columns: Sequence[tuple[str, str, str]]) -> str:
    cells = []
    for name, _, spec in columns:
        figure = row.figures.get(name)
        text = "–" if figure is None else format(figure.value, spec)
        if figure is not None and figure.low is not None and figure.high is not None:
            text += f"<br><small>[{format(figure.low, spec)}, {format(figure.high, spec)}]</small>"
        cells.append(f"<td>{text}</td>")
    note = f"<br><small>{escape(row.note)}</small>" if row.note else ""
    return f"<tr><th>{escape(row.title)}{note}</th><td>{row.photos}</td>{''.join(cells)}</tr>"


def _gains(gains: Sequence[Gain]) -> str:
    """One row a pair of models, a column a figure."""
    columns = [column for column in COLUMNS if any(one.figure == column[0] for one in gains)]
    pairs = list(dict.fromkeys((one.later, one.earlier) for one in gains))
    if not pairs:
        return ""
    head = "".join(f"<th>{escape(title)}</th>" for _, title, _ in columns)
    rows = []
    for later, earlier in pairs:
        found = {one.figure: one for one in gains if (one.later, one.earlier) == (later, earlier)}
        cells = "".join(f"<td>{_gain(found[name], spec) if name in found else '–'}</td>" for name, _, spec in columns)
        rows.append(f"<tr><th>{_title(later)} instead of {_title(earlier).lower()}</th>{cells}</tr>")
    return (
        f"<h3>What each adds</h3><div class='wide'><table><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div><p class='muted'>Photo by photo; grey where it may be chance.</p>"
    )


def _gain(gain: Gain, spec: str) -> str:
    sure = gain.low > 0 or gain.high < 0
    value, low, high = (format(one, f"+{spec}") for one in (gain.value, gain.low, gain.high))
    return f"<span class='{'sure' if sure else 'chance'}'>{value}</span><br><small>[{low}, {high}]</small>"


def _title(key: str) -> str:
    return escape(TITLES.get(key, key))


def _curves(metrics: Sequence[Mapping[str, Any]]) -> str:
    def points(stage: int, name: str, offset: int = 0) -> list[tuple[float, float]]:
        rows = (row for row in metrics if row.get("stage") == stage and isinstance(row.get(name), int | float))
        return [(row["step"] + offset, row[name]) for row in rows]

    first = max((int(row["step"]) for row in metrics if row.get("stage") == 1), default=0)
    learning = [Series("training", points(1, "loss")), Series("held-out captions", points(1, "nll"), dots=True)]
    figures = [
        line_plot("Stage 1: loss (nats a token)", learning),
        line_plot("Stage 2: reward", [Series("reward", points(2, "reward"))]),
        line_plot("Stage 2: distance from stage 1 (nats a caption)", [Series("KL", points(2, "kl"))]),
    ]
    for name, title in _EVALUATIONS:
        both = [Series("stage 1", points(1, name), dots=True), Series("stage 2", points(2, name, first), dots=True)]
        figures.append(line_plot(title, both, boundary=first or None))
    return _section("As it went", f"<div class='plots'>{''.join(figures)}</div>" if any(figures) else "")


def _seeds(data: PageData) -> str:
    plot = ""
    if data.seeds.points:
        points = [(float(n), loss) for n, loss in data.seeds.points]
        plot = line_plot("Captions left out, by the seeds learned from (nats a token)", [Series("loss", points, True)],
                         x_label="seeds")  # fmt: skip
    words = "".join(f"<p>{escape(one)}</p>" for one in data.seeds.sentences)
    return _section("Would more captions help?", words + (f"<div class='plots'>{plot}</div>" if plot else ""))


def _photos(data: PageData, photo: Callable[[int], ImageRow | None]) -> str:
    cards = "".join(_photo(one, photo(one.image_id)) for one in data.photos)
    return _section("The same photos, in each one's words", f"<div class='photos'>{cards}</div>" if cards else "")


def _photo(one: PhotoCaptions, row: ImageRow | None) -> str:
    said = [("human", text) for text in one.human] + [(k, one.captions[k]) for k in TITLES if k in one.captions]
    lines = "".join(f"<dt>{escape(TITLES[key])}</dt><dd>{escape(text) or '–'}</dd>" for key, text in said)
    name = row.path.name if row is not None else "a photo that is not in the library any more"
    # A name that is not valid Unicode cannot be written down; nobody looks the file up from here.
    shown = escape(name.encode("utf-8", "replace").decode("utf-8"), quote=True)
    picture = _thumbnail(row)
    image = f'<img alt="{shown}" src="{picture}">' if picture else "<div class='gone'>The photo cannot be read.</div>"
    return f"<article>{image}<div><h3>{shown}</h3><dl>{lines}</dl></div></article>"


def _thumbnail(row: ImageRow | None) -> str:
    try:
        content = ensure_thumbnail(row.path, row.content_hash).read_bytes() if row is not None else b""
    except (UserError, OSError):
        return ""
    return f"data:image/webp;base64,{base64.b64encode(content).decode('ascii')}" if content else ""


def page_of(run: Path) -> Path | None:
    """The page of a run, where it has one."""
    return run / PAGE if (run / PAGE).is_file() else None


def has_page_data(run: Path) -> bool:
    """Whether everything was measured that a page shows."""
    try:
        PageData.from_dict(read_report(run)["page"])
    except (UserError, KeyError, TypeError, ValueError, AttributeError, json.JSONDecodeError):
        return False
    return True
