"""The report as one HTML file that asks the network for nothing: sections made here, style and map from page.css and page.js beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from unlabeled.report.measures import MEASURES, Measure, best, compare, title, value
from unlabeled.representation.index import describe

CURVE = 400  # points drawn of the loss
Report = Mapping[str, Any]


def render(report: Report) -> str:
    """The page of a report that `build` made. Whatever came from data is escaped, and the page may run no script but its own."""
    here = files(__package__)
    style, script = (here.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    sections = [(name, title, body) for name, title, make in SECTIONS if (body := make(report))]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    main = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{body}</section>'
        for name, title, body in sections
    )
    source = report["source"] or "imported vectors"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{text(source)} · unlabeled</title><style>{style}</style></head><body>"
        '<a class="skip" href="#main">Skip to the report</a><div class="page">'
        f'<nav aria-label="Sections"><p class="brand">unlabeled</p><ul>{links}</ul></nav>'
        f'<main id="main">{_top(report, source)}{main}'
        f"<footer>Made by unlabeled {text(report['version'])} on {text(report['created'])}. "
        "All numbers are also in report.json.</footer></main></div>"
        f"<script>{script}</script></body></html>\n"
    )


def text(value: Any) -> str:
    """Escaped, without control characters."""
    return escape("".join(letter for letter in str(value) if letter.isprintable() or letter in "\n\t"))


def embedded(data: Any) -> str:
    """JSON that may stand inside a <script> element: nothing in it can close the element or open a comment."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def number(value: float) -> str:
    """About three digits, as people write them."""
    if value == int(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours or minutes:
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"


def many(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def _sentence(words: str) -> str:
    first = words[:1].upper() if words[1:2].isalpha() else words[:1]  # "k = 10 was best" keeps its k
    return text(first + words[1:].rstrip(".") + ".") if words else ""


def note(sentence: str) -> str:
    return f'<p class="note">{sentence}</p>'


def _card(report: Report, row: int, under: str = "", named: bool = False) -> str:
    """One item: its picture or text, what is said under it, and its id, for which a picture has no room unless it is to be `named`."""
    item = report["shown"].get(str(row), {"id": f"row {row}"})
    picture = item.get("image", "")
    name = text(item["id"])
    under = f'<span class="under">{under}</span>' if under else ""
    if picture.startswith("data:image/"):
        image = f'<img src="{text(picture)}" alt="{name}" title="{name}">'
        return f'<figure class="picture">{image}<figcaption>{f"{under} {name}" if named else under or name}</figcaption></figure>'
    return f'<figure class="words"><p>{text(item.get("text", "")) or "<em>empty</em>"}</p><figcaption>{under} {name}</figcaption></figure>'


def _cards(report: Report, cards: Iterable[str]) -> str:
    return f'<div class="{"pictures" if report["kind"] == "image" else "texts"}">{"".join(cards)}</div>'


def _folded(summary: str, table: str) -> str:
    return f'<details><summary>{summary}</summary><div class="scroll" tabindex="0">{table}</div></details>'


def _top(report: Report, source: str) -> str:
    method, count, quality = report["method"], report["items"]["count"], report["quality"]
    own = quality["arms"][0] if quality["arms"] else {}
    unreadable = len(report["items"]["unreadable"])
    facts = [(f"{count:,}", "item" if count == 1 else "items", f"were read; {unreadable:,} could not be.")]
    if own.get("dim"):
        facts.append((f"{own['dim']:,}", "numbers an item", "are what each became: a vector. Like items get like numbers."))
    if report["clusters"]:
        facts.append((f"{len(report['clusters']):,}", "clusters", "were found in them, without any label."))
    if report["curve"] or (method.get("seconds") or 0) >= 1:
        means = f"with {text(method.get('name', '?'))}, on {text(method.get('device') or 'an unnamed device')}."
        facts.append((duration(method.get("seconds") or 0), "of learning", means))
    strip = "".join(f"<div><dt><b>{figure}</b> {unit}</dt><dd>{means}</dd></div>" for figure, unit, means in facts)
    collapse = f'<p class="lead">{text(quality["collapse"])}</p>' if quality["collapse"] else ""
    said, _, why = quality["verdict"].partition(": ")  # the answer large, what it rests on below
    because = f'<p class="lead">{_sentence(why)}</p>' if why else ""
    verdict = f'<p class="kicker">{text(source)}</p><h1>{_sentence(said)}</h1>{because}{collapse}'
    return f'<header>{verdict}<dl class="facts">{strip}</dl></header>'


def _data(report: Report) -> str:
    items = report["items"]
    notes = "".join(f"<li>{text(line)}</li>" for line in items["notes"])
    line = items["description"] or f"{many(items['count'], 'item')} of the kind {report['kind']}"
    body = f"<p>{_sentence(line)}</p>" + (f"<ul>{notes}</ul>" if notes else "")
    if items["unreadable"]:
        rows = "".join(f"<tr><td><code>{text(name)}</code></td><td>{text(reason)}</td></tr>" for name, reason in items["unreadable"])
        table = f"<table><thead><tr><th>File or row</th><th>Why it was skipped</th></tr></thead><tbody>{rows}</tbody></table>"
        body += _folded(f"{many(len(items['unreadable']), 'unreadable item')} skipped", table)
    return body


def _method(report: Report) -> str:
    method = report["method"]
    rows = [("Method", method.get("name"), method.get("why")), ("Encoder", method.get("encoder"), method.get("encoder_why"))]
    told = [(what, name, (why or "").removeprefix(f"{name}: ")) for what, name, why in rows if name]
    body = "".join(f"<p><b>{what}: {text(name)}.</b> {_sentence(why)}</p>" for what, name, why in told)
    return body + ("" if report["curve"] else "<p>No network was trained.</p>")


def _curve(report: Report) -> str:
    losses = [loss for loss in report["curve"] if loss is not None]
    if len(losses) < 2:
        return f"<p>One epoch, with a loss of {number(losses[0])}: too little for a curve.</p>" if losses else ""
    low, high = min(losses), max(losses)
    step = max(1, math.ceil(len(losses) / CURVE))
    places = [
        f"{1000 * at / (len(losses) - 1):.1f},{200 - 200 * (losses[at] - low) / ((high - low) or 1):.1f}"
        for at in sorted({*range(0, len(losses), step), len(losses) - 1})
    ]
    unit = "epoch" if len(losses) == report["method"].get("epochs") else "step"
    said = f"The loss went from {number(losses[0])} to {number(losses[-1])} in {many(len(losses), unit)}."
    last = losses[-max(2, len(losses) // 5) :]
    if len(losses) >= 5 and last[0] - last[-1] > 0.1 * (high - low):
        said += " It was still falling at the end: more epochs may help."
    return (
        f'<figure class="curve"><span>{number(high)}</span><span class="low">{number(low)}</span>'
        f'<svg viewBox="0 0 1000 200" preserveAspectRatio="none" role="img" aria-label="Training curve. {said}">'
        f'<polyline points="{" ".join(places)}"/></svg>'
        f'<span class="from">{unit} 1</span><span class="to">{unit} {len(losses):,}</span></figure>'
        + note(f"{said} The loss is what learning lowers. Its height means nothing by itself: look for a steady fall that levels off.")
    )


def _quality(report: Report) -> str:
    arms = report["quality"]["arms"]
    known = {"name", "label", "dim", "verdict"}
    keys = [key for key in MEASURES if any(value(arm.get(key)) for arm in arms)]
    keys += sorted({key for arm in arms for key in arm if key not in known | MEASURES.keys() and value(arm[key])})
    if not keys:
        return ""
    told = "".join(
        f"<li><b>{text(title(arm))}</b>{', ' + many(arm['dim'], 'number') if arm.get('dim') else ''}: {text(arm.get('label', ''))}."
        + (f" {text(arm['verdict'])}" if arm.get("verdict") and arm is not arms[0] else "")
        + "</li>"
        for arm in arms
    )
    sentences = "".join(f"<li>{text(sentence)}</li>" for sentence in compare(arms))
    judged = text(report["quality"]["judged_on"])
    return (
        "<p>No label was used. The same measures, on what was learned and on simpler ways to turn the same items into vectors:</p>"
        f'<ul class="arms">{told}</ul>'
        + (f'<ul class="outcome">{sentences}</ul>' if sentences else "")
        + f'<div class="measures">{"".join(_measure(key, arms) for key in keys)}</div>'
        + note(
            (f"Judged on {judged}. " if judged else "") + "± is one standard deviation. Best is marked only where more is simply better; "
            "level is what two standard deviations don't part from it."
        )
    )


def _measure(key: str, arms: Sequence[Mapping[str, Any]]) -> str:
    measure = MEASURES.get(key, Measure(key.replace("_", " "), "Given with this run. No best is marked.", full=None))
    marked = best(arms, key) if measure.ranked else []
    values = [(arm, *found) for arm in arms if (found := value(arm.get(key)))]
    rows = []
    for arm, mean, std in values:
        full = abs(measure.full or (arm.get("dim") if key in MEASURES else max(abs(each) for _, each, _ in values)) or 1)
        width = 100 * min(1, abs(mean) / full)
        # shares are easier to compare with always two digits
        figure = f"{mean:.2f}".replace("-0.00", "0.00") if abs(mean) < 10 else f"{mean:.1f}"
        figure += f" <small>± {'&lt;0.01' if std < 0.005 else f'{std:.2f}'}</small>" if std else ""
        figure += f" <small>of {arm['dim']:,}</small>" if key == "rankme" and arm.get("dim") else ""
        mark = f' <span class="best">{"best" if arm is marked[0] else "level"}</span>' if any(arm is one for one in marked) else ""
        kind = "own" if arm is arms[0] else "other"
        bar = f'<td class="bar"><i style="width:{width:.1f}%"></i></td>'
        rows.append(f'<tr class="{kind}"><th scope="row">{text(title(arm))}</th>{bar}<td>{figure}{mark}</td></tr>')
    return f'<div class="measure"><h3>{text(measure.name)}</h3><table>{"".join(rows)}</table>{note(text(measure.means))}</div>'


def _map(report: Report) -> str:
    points = report["map"]
    count = len(points["rows"])
    if count < 2:
        return ""
    names = {group["cluster"]: group["name"] for group in report["clusters"]}
    shown = [report["shown"].get(str(row), {"id": f"row {row}"}) for row in points["rows"]]
    of = f"{count:,} of {report['items']['count']:,} items, drawn at random" if count < report["items"]["count"] else many(count, "item")
    first = {group["cluster"]: str(row) for group in report["clusters"] for row in group["examples"][:1]}
    faces = {cluster: report["shown"].get(row, {}).get("image") for cluster, row in first.items()}
    data = {"x": points["x"], "y": points["y"], "cluster": points["cluster"], "names": names, "faces": faces, "shown": shown}
    return (
        f"<p>Every point is an item ({of}); items that the representation finds alike lie close together. "
        "Point at one to see it, click to keep it, drag to move, use a cluster's button to hide it.</p>"
        '<div class="map"><div class="stage">'
        '<canvas tabindex="0" role="application" aria-describedby="pinned" '
        'aria-label="Map of the items. Arrow keys go from item to item, plus and minus zoom."></canvas><div class="zoom">'
        '<button type="button" data-zoom="1.5" aria-label="Zoom in">+</button>'
        '<button type="button" data-zoom="0.667" aria-label="Zoom out">−</button>'
        '<button type="button" data-zoom="0">Reset</button></div><div class="hover" hidden></div></div>'
        '<div class="side"><div id="pinned" class="pinned" aria-live="polite"><p class="note">Click a point to keep it here.</p></div>'
        '<div class="legend" role="group" aria-label="Clusters shown"></div></div></div>'
        + note("Only closeness counts: the axes have no meaning, and neither have large distances or the size of a gap.")
        + f'<script type="application/json" id="map-data">{embedded(data)}</script><noscript><p>The map needs JavaScript.</p></noscript>'
    )


def _clusters(report: Report) -> str:
    groups = report["clusters"]
    if not groups:
        return ""
    most = 6 if report["kind"] == "image" else 4
    cards = "".join(
        f'<article><h3><span class="swatch" data-cluster="{group["cluster"]}">{group["cluster"]}</span> {text(group["name"])}</h3>'
        f'<p class="note">{many(group["size"], "item")}, {100 * group["size"] / report["items"]["count"]:.0f} % of all</p>'
        f"{_cards(report, (_card(report, row) for row in group['examples'][:most]))}</article>"
        for group in groups
    )
    return (
        note(
            f"{_sentence(report['k_chosen'])} Groups of items that lie together, largest first, each with its most central items. "
            "The names are made from the items, not by a person."
        )
        + f'<div class="clusters {"of-texts" if report["kind"] != "image" else ""}">{cards}</div>'
    )


def _duplicates(report: Report) -> str:
    groups = report["duplicates"]
    if not groups:
        return "<p>None were found.</p>" if report["items"]["count"] > 1 else ""
    found = report["duplicates_found"]
    listed = f"{many(found, 'group')} of items that are almost the same" + (f"; {len(groups)} are shown" if found > len(groups) else "")
    cards = "".join(
        f'<article>{_cards(report, (_card(report, row) for row in group["rows"]))}<p class="note">'
        + (f"similarity {group['similarity']:.3f}" if group["similarity"] is not None else "")
        + (f", {group['size']} items" if group["size"] > len(group["rows"]) else "")
        + "</p></article>"
        for group in groups
    )
    explained = note(f"{listed}. Similarity 1 is the same vector. Copies distort counts and tests: keep one of each.")
    return f'{explained}<div class="groups">{cards}</div>'


def _outliers(report: Report) -> str:
    if not report["outliers"]:
        return ""
    cards = (_card(report, odd["row"], _score(odd["score"]), named=True) for odd in report["outliers"])
    return note(
        "The items farthest from their nearest neighbours, oddest first: broken, mislaid or rare ones come up here. "
        "The number is the mean distance to the neighbours; higher is odder."
    ) + _cards(report, cards)


def _neighbours(report: Report) -> str:
    if not report["neighbours"]:
        return ""
    rows = "".join(
        f'<article class="query"><div class="asked">{_card(report, query["row"])}</div>'
        f"{_cards(report, (_card(report, row, _score(score)) for row, score in query['neighbours']))}</article>"
        for query in report["neighbours"]
    )
    return (
        note(
            "A few items drawn at random, not picked for their looks, each with what the representation finds most like it. "
            "The number is a cosine: 1 is the same, 0 unrelated. Judge with your own eyes."
        )
        + f'<div class="queries">{rows}</div>'
    )


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"


def _search(report: Report) -> str:
    search = report.get("search")
    if not search or not search["hits"]:
        return ""
    hits = _cards(report, (_card(report, row, _score(score)) for row, score in search["hits"]))
    return f"<p>Asked for: <b>{text(search['query'])}</b>. Best first; a higher number is a better match.</p>{hits}"


def _settings(report: Report) -> str:
    method, index = report["method"], report["index"]
    facts = {key: method[key] for key in ("name", "encoder", "epochs", "seed", "device", "seconds") if method.get(key) is not None}
    rows = {**facts, **method.get("settings", {}), "neighbour index": f"{index['kind']}, {describe(index)}", "version": report["version"]}
    table = "".join(f'<tr><th scope="row">{text(key)}</th><td><code>{text(item)}</code></td></tr>' for key, item in rows.items())
    again = f"<p>To repeat it:</p><pre><code>{text(report['command'])}</code></pre>" if report.get("command") else ""
    return again + _folded(f"All {len(rows)} settings", f"<table>{table}</table>")


SECTIONS = (
    ("data", "The data", _data),
    ("method", "What was done", _method),
    ("training", "Training", _curve),
    ("quality", "How good it is", _quality),
    ("map", "The map", _map),
    ("clusters", "Clusters", _clusters),
    ("neighbours", "Neighbours", _neighbours),
    ("search", "An example search", _search),
    ("outliers", "Oddest items", _outliers),
    ("duplicates", "Near-duplicates", _duplicates),
    ("settings", "Settings", _settings),
)
