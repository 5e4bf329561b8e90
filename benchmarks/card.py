"""Write the figures of a model card from its metrics.json, between the card's two markers.

Every ``metrics-*.json`` beside it, of other images, adds its accuracy.

python -m benchmarks.card models/resnet20-gtsrb
python -m benchmarks.card models/resnet20-gtsrb --report report/report.json    with times, which `bench` measured
"""

import argparse
import json
from pathlib import Path
from typing import Any

from dqmq_deploy.report.latency import STOCK

BEGIN, END = "<!-- figures: python -m benchmarks.card -->", "<!-- end of figures -->"


def percent(share: float) -> str:
    """Two digits, as accuracies near 97 % need them.

    >>> percent(0.97315)
    '97.31 %'
    """
    return f"{100 * share:.2f} %"


def figures(metrics: dict[str, Any]) -> str:
    """The card's tables in Markdown."""
    parts = [_accuracy(metrics), _routing(metrics), _runs(metrics), _kinds(metrics), _classes(metrics)]
    parts += [_configurations(metrics), _source(metrics)]
    if "time" in metrics:
        parts.append(_time(metrics["time"]))
    return "\n\n".join(parts)


def others(metrics: dict[str, Any]) -> str:
    """What is told of further images."""
    parts = [f"On `{metrics['data']}`:", _accuracy(metrics), _routing(metrics), _classes(metrics), _source(metrics)]
    return "\n\n".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _accuracy(metrics: dict[str, Any]) -> str:
    plain, mixed = metrics["as_it_is"], metrics["mixed"]
    rows = []
    for name, row in plain["rows"].items():
        other = mixed["rows"][name]
        rows.append(
            [
                f"`{name}`" if name != "adaptive" else f"adaptive, price {plain['price']:.3g}",
                f"{percent(row['accuracy'])} ({100 * row['low']:.2f} to {100 * row['high']:.2f})",
                f"{row['bitops'] / 1e6:,.0f} M",
                f"{percent(other['accuracy'])} ({100 * other['low']:.2f} to {100 * other['high']:.2f})",
                f"{other['bitops'] / 1e6:,.0f} M",
            ]
        )
    head = ["", "as it is", "mean BitOPs", "mixed quality", "mean BitOPs"]
    return f"Top-1 accuracy on {plain['images']:,} images, with 95 % intervals (Wilson):\n\n" + _table(head, rows)


def _routing(metrics: dict[str, Any]) -> str:
    rows = []
    for label, part in (("as it is", metrics["as_it_is"]), ("mixed quality", metrics["mixed"])):
        gain, against = part["adaptive_minus_random"], part["adaptive_minus_best_static"]
        rows.append(
            [
                label,
                percent(part["rows"]["adaptive"]["accuracy"]),
                percent(part["random"]["expected"]),
                percent(part["escalation"]["accuracy"]),
                percent(part["oracle"]["accuracy"]),
                f"{100 * gain['difference']:+.2f} ({100 * gain['low']:+.2f} to {100 * gain['high']:+.2f})",
                f"{100 * against['difference']:+.2f} ({100 * against['low']:+.2f} to {100 * against['high']:+.2f})",
            ]
        )
    head = [
        "",
        "adaptive",
        "random, same mix",
        "escalation, same BitOPs",
        "oracle",
        "minus random",
        "minus best static",
    ]
    return "What routing is worth, in points:\n\n" + _table(head, rows)


def _kinds(metrics: dict[str, Any]) -> str:
    kinds = metrics["mixed_by_kind"]
    names = [name for name in next(iter(kinds.values())) if name != "images"]
    rows = [
        [kind.replace("_", " "), f"{row['images']:,}", *(percent(row[name]) for name in names)]
        for kind, row in kinds.items()
    ]
    return "Mixed quality by kind of degradation:\n\n" + _table(["", "images", *(f"`{name}`" for name in names)], rows)


def _runs(metrics: dict[str, Any]) -> str:
    rows = [
        [label, *(percent(share) for share in metrics[part]["runs"])]
        for label, part in (("as it is", "as_it_is"), ("mixed quality", "mixed"))
    ]
    head = ["", *(f"`{name}`" for name in metrics["configurations"])]
    told = "Share of the images that each graph runs on, adaptive; an image that escalates runs on two:"
    return f"{told}\n\n{_table(head, rows)}"


def _classes(metrics: dict[str, Any]) -> str:
    told = [
        f"`{name}` {percent(row['accuracy'])} of {row['images']:,}" for name, row in metrics["mixed_by_class"].items()
    ]
    worst, best = ", ".join(told[:3]), ", ".join(told[:-4:-1])
    return f"Classes at mixed quality, adaptive: worst {worst}; best {best}."


def _configurations(metrics: dict[str, Any]) -> str:
    agreed = metrics["agreement_with_torch"]
    rows = []
    for name, entry in metrics["configurations"].items():
        levels = list(entry["bits"].values())
        counts = ", ".join(f"{levels.count(bits)} at {bits}" for bits in sorted(set(levels)))
        rows.append(
            [
                f"`{name}`",
                counts,
                f"{entry['bitops'] / 1e6:,.0f} M",
                f"{entry['bytes'] / 1000:,.1f} kB",
                percent(agreed[name]),
            ]
        )
    head = ["configuration", "layers at bits", "BitOPs", "bytes", f"same top-1 as torch, {agreed['images']:,} images"]
    return _table(head, rows)


def time_of(report: dict[str, Any]) -> dict[str, Any]:
    """What a card keeps of a ``report.json``: one thread, one image at a time."""
    rows = {row["name"]: row for row in report["latency"] if row["threads"] == 1}
    facts = report["environment"]
    kept = {key: facts[key] for key in ("date", "commit", "cpu", "cores", "os", "python", "versions")}
    return {
        "environment": {**kept, "isa": facts["kernels"]["isa"]},
        "rows": {
            name: {key: row[key] for key in ("kind", "p50_ms", "over_stock", "ratios") if key in row}
            for name, row in rows.items()
        },
    }


def _time(time: dict[str, Any]) -> str:
    rows = time["rows"]
    lines = []
    for name, row in rows.items():
        if "over_stock" not in row:
            continue
        stock, int8 = row["over_stock"], row["ratios"]["ort-int8"]
        lines.append(
            [
                f"`{name}`",
                f"{row['p50_ms']:.3f} ms",
                f"{rows[name + STOCK]['p50_ms']:.3f} ms",
                f"{stock['median']:.2f} ({stock['low']:.2f} to {stock['high']:.2f})",
                f"{int8['median']:.2f} ({int8['low']:.2f} to {int8['high']:.2f})",
            ]
        )
    others = [name for name, row in rows.items() if row["kind"] in ("estimator", "baseline")]
    told = ", ".join(f"{name} {rows[name]['p50_ms']:.3f} ms" for name in others)
    facts = time["environment"]
    head = ["configuration", "our kernels", "stock onnxruntime", "ours / stock", "ours / ort-int8"]
    return (
        "Time of one image on one thread, medians; ratios are medians over rounds, with the 10th to 90th percentile:"
        f"\n\n{_table(head, lines)}\n\nBeside them: {told}. Measured by `dqmq-deploy bench` on {facts['date'][:10]} "
        f"at commit {facts['commit']}; {facts['cpu']}, {facts['isa']} kernels; {_versions(facts)}."
    )


def _versions(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version)


def _source(metrics: dict[str, Any]) -> str:
    facts = metrics["environment"]
    versions = _versions(facts)
    return (
        f"Measured on the exported graphs by `python -m benchmarks.accuracy`, seed {metrics['seed']}, on "
        f"{facts['date'][:10]} at commit {facts['commit']}; {facts['cpu']}, {facts['cores']} cores, {facts['os']}; "
        f"Python {facts['python']}, {versions}."
    )


def main() -> None:
    """Rewrite the part of the card between the markers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with metrics.json and card.md")
    parser.add_argument("--report", type=Path, metavar="report.json", help="what bench wrote: its times are added")
    arguments = parser.parse_args()
    folder = arguments.model
    card = folder / "card.md"
    text = card.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    metrics = json.loads((folder / "metrics.json").read_text())
    if arguments.report:
        metrics["time"] = time_of(json.loads(arguments.report.read_text()))
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    parts = [figures(metrics)]
    parts += [others(json.loads(path.read_text())) for path in sorted(folder.glob("metrics-*.json"))]
    told = "\n\n".join(parts)
    card.write_text(f"{before}{BEGIN}\n\n{told}\n\n{END}{after}")


if __name__ == "__main__":
    main()
