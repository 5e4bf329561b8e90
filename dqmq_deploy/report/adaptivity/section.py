"""The section of the HTML report that says whether choosing pays."""

from typing import Any

from dqmq_deploy.report.adaptivity import plots
from dqmq_deploy.report.adaptivity.sheets import IN_WORDS, as_tables, share
from dqmq_deploy.report.markup import Markup, element
from dqmq_deploy.report.panels import figure, panel, scroll, words


def section(run: dict[str, Any], source: Markup) -> list[Markup]:
    """Verdict, figures and tables of one bundle."""
    compared = next(iter(run["compared"].values()))
    best = compared["best_static"]
    drawn = [
        figure(
            f"Accuracy against mean time{f', {IN_WORDS[label]}' if len(run['compared']) > 1 else ''}",
            plots.accuracy_time(found),
            "Everything an image costs is counted: estimator, both graphs where it is escalated, and dispatch. Bars of "
            "configurations are 95 % intervals.",
            source,
        )
        for label, found in run["compared"].items()
    ]
    maps = [
        _heat(f"Accuracy of {best}, %", plots.best_static_map(run, best)),
        _heat(f"Adaptive minus {best}, points", plots.difference_map(run, best)),
    ]
    return [
        element("h2", "Does choosing pay?"),
        element("p", words(intro(run)), class_="intro"),
        element("div", drawn, class_="pair") if len(drawn) > 1 else drawn[0],
        element("div", maps, class_="pair"),
        *(_cases(run, key, best) for key in ("gained", "lost")),
        *(panel(table, source) for table in as_tables([run])),
        element("p", element("strong", words(run["verdict"])), class_="verdict"),
    ]


def intro(run: dict[str, Any]) -> str:
    """What was judged, on what, and where thresholds come from."""
    tracks = f" in {run['tracks']:,} tracks" if run["tracks"] < run["images"] else ""
    copies = f", each in {run['copies']} copies" if run["copies"] > 1 else ""
    return (
        f"{run['images']:,} labelled images{tracks}{copies}; {run['protocol_in_words']}. "
        f"Prices and thresholds come from {run['fitted_on']}."
    )


def _heat(title: str, drawn: Markup) -> Markup:
    note = element(
        "p", "By kind and severity; 'all' is every severity together. * not used in training.", class_="note"
    )
    return element("section", element("h3", title), scroll(drawn, title), note, class_="panel")


def _cases(run: dict[str, Any], key: str, best: str) -> Markup:
    found = run[key]
    which = f"right by choosing, wrong by {best}" if key == "gained" else f"right by {best}, wrong by choosing"
    shown = len(found["shown"])
    rate = share(found["images"] / (run["images"] * run["copies"]))
    return element(
        "section",
        element("h3", f"{found['images']:,} image{'' if found['images'] == 1 else 's'} ({rate}) {which}"),
        plots.gallery(found) if shown else None,
        element("p", f"{shown} of them, drawn at random.", class_="note") if shown < found["images"] else None,
        class_="panel",
    )
