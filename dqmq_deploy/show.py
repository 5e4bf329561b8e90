"""How results look in a terminal: tables, and bits at a glance."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from dqmq_deploy.bits import Layer, mean_bits
from dqmq_deploy.bundle.manifest import ESCALATE
from dqmq_deploy.kernels import in_words
from dqmq_deploy.report.numbers import bitops, digits3, ms, percent, size
from dqmq_deploy.terminal import console

if TYPE_CHECKING:
    from dqmq_deploy.doctor import GraphReport
    from dqmq_deploy.serve.summary import ServeSummary

BIT_STYLES = {2: "green", 4: "yellow", 8: "red"}
"""Cheap to dear."""

GLANCE_LAYERS = 32
"""Bits are shown layer by layer up to this many layers, by runs of equal bits beyond."""

CURVE_ROWS = 8
"""A longer price curve is shown by as many of its points, evenly picked."""

LATENCY_KEYS = ("p50_ms", "p90_ms", "p99_ms")
"""What a terminal shows of a latency; the report has the rest."""


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, wrap: bool = False) -> Table:
    """A plain table. Columns whose name starts with ``>`` are aligned to the right; ``None`` is shown as a dash.

    With ``wrap`` long numbers may take two lines, so that a wide table keeps its first column.
    """
    drawn = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        right = column.startswith(">")
        drawn.add_column(column.removeprefix(">"), justify="right" if right else "left", no_wrap=right and not wrap)
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else "-" if cell is None else str(cell) for cell in row))
    return drawn


def bits_at_a_glance(bits: Sequence[int]) -> Text:
    """One digit a layer, input to output, coloured by cost; long networks as runs, ``8 2x17 8``.

    >>> bits_at_a_glance([8, 2, 2, 4, 8]).plain
    '82248'
    """
    if len(bits) <= GLANCE_LAYERS:
        return Text.assemble(*((str(bit), BIT_STYLES.get(bit, "")) for bit in bits))
    runs = [(bit, len(list(run))) for bit, run in groupby(bits)]
    texts = [Text(f"{bit}x{count}" if count > 1 else str(bit), BIT_STYLES.get(bit, "")) for bit, count in runs]
    return Text(" ").join(texts)


def shortened(names: Sequence[str], most: int = 12) -> str:
    """The first names of a long list, and how many more there are."""
    rest = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def mapping(values: Mapping[str, object]) -> str:
    """``{key: value}`` as ``key value, key value``."""
    return ", ".join(f"{key} {value}" for key, value in values.items())


def show_description(found: Mapping[str, Any]) -> None:
    """What ``inspect`` found."""
    if found["kind"] == "bundle":
        show_bundle(found)
    else:
        show_checkpoint(found)


def show_bundle(found: Mapping[str, Any]) -> None:
    """A bundle's classes, configurations and price curve; ``found`` is as from ``describe``."""
    out = console()
    _show_head(found, f"bundle, {size(found['bytes'])} in {len(found['files']) + 1} files")
    out.print(f"made with: {mapping(found['versions'])}")
    out.print()
    show_configurations(found)
    out.print()
    for policy in found["policies"]:
        is_default = policy["name"] == found["default_policy"]
        default = f", the default; default price {found['default_price']:.4f}" if is_default else ""
        _show_curve(f"What a price buys: {policy['name']}{default}", policy["curve"])
        out.print()
    for note in found["notes"]:
        out.print(f"note: {note}")


def _show_curve(title: str, curve: Sequence[Mapping[str, Any]]) -> None:
    """Some points of a policy's price curve."""
    picked = (
        curve
        if len(curve) <= CURVE_ROWS
        else [curve[i * (len(curve) - 1) // (CURVE_ROWS - 1)] for i in range(CURVE_ROWS)]
    )
    columns = (">price", ">accuracy", ">BitOPs", ">ms", "share of each configuration")
    rows = [
        (
            f"{point['price']:.4f}",
            percent(point["accuracy"]),
            bitops(point["bitops"]),
            ms(point["latency_ms"]),
            mapping({name: f"{100 * share:.0f} %" for name, share in point["mix"].items() if share}) + _first(point),
        )
        for point in picked
    ]
    console().print(table(title, columns, rows))


def _first(point: Mapping[str, Any]) -> str:
    """What of a cascade the shares do not tell."""
    skips = f", {percent(point['skipped'], 0)} at once by the estimator" if point["skip"] else ""
    return f"; {percent(point['escalated'], 0)} after {point['first']}{skips}" if point["escalated"] else skips


def show_checkpoint(found: Mapping[str, Any]) -> None:
    """A checkpoint's classes, training and configurations; ``found`` is as from ``describe``."""
    out = console()
    recipe, layers = found["recipe"], [Layer(**layer) for layer in found["layers"]]
    macs = digits3(sum(layer.macs for layer in layers) / 1e6)
    weights = digits3(sum(layer.weight_count for layer in layers) / 1e3)
    _show_head(found, f"checkpoint, {size(found['bytes'])}")
    out.print(
        f"network: {recipe['net']['name']}, {len(layers)} layers, {weights} k weights, {macs} M multiply-accumulates"
    )
    epochs = f"{recipe['train']['float_epochs']} float and {recipe['train']['epochs']} quantized epochs"
    if not found["finished"]:
        at = found["position"]
        out.print(
            f"training: stopped in epoch {at['epoch'] + 1}, step {at['step']}, of {epochs}; train --resume goes on"
        )
        return
    out.print(f"training: {epochs}, seed {recipe['seed']}; carries {found['calibration_images']} calibration images")
    out.print()
    columns = ("configuration", "bits", ">mean", ">sees", ">BitOPs", ">weights", ">accuracy")
    rows = [
        (
            entry["name"],
            bits_at_a_glance([entry["bits"][layer.name] for layer in layers]),
            f"{entry['mean_bits']:.1f}",
            _seen(found["preprocessing"], entry["shrink"]),
            bitops(entry["bitops"]),
            size(entry["weight_bytes"]),
            percent(entry["accuracy"]),
        )
        for entry in found["configurations"]
    ]
    title = (
        f"Configurations, bits per layer from input to output; accuracy on {found['held_out_images']} held-out images"
    )
    out.print(table(title, columns, rows))


def _seen(preprocessing: Mapping[str, Any], shrink: int) -> str:
    """Width and height of the picture as a configuration sees it."""
    return f"{preprocessing['width'] // shrink}x{preprocessing['height'] // shrink}"


def _show_head(found: Mapping[str, Any], what: str) -> None:
    """What a bundle and a checkpoint have in common."""
    preprocessing, names = found["preprocessing"], found["classes"]
    side = f"{preprocessing['width']}x{preprocessing['height']}"
    out = console()
    out.print(f"[bold]{found['name']}[/] {what}: {found['path']}", soft_wrap=True)
    out.print(f"{len(names)} classes: {shortened(names)}")
    out.print(f"images: {preprocessing['mode']}, {preprocessing['resize']}ed to {side}")


def show_configurations(manifest: Mapping[str, Any]) -> None:
    """One row a configuration, cheapest first."""
    layers = [Layer(**layer) for layer in manifest["layers"]]
    columns = ("configuration", "bits", ">mean", ">sees", ">BitOPs", ">size", ">accuracy", ">ms", ">agrees with torch")
    rows = [
        (
            entry["name"],
            bits_at_a_glance([entry["bits"][layer.name] for layer in layers]),
            f"{mean_bits(layers, entry['bits']):.1f}",
            _seen(manifest["preprocessing"], entry["shrink"]),
            bitops(entry["bitops"]),
            size(entry["bytes"]),
            percent(entry["accuracy"]),
            ms(entry["latency_ms"]),
            percent(entry["parity"]["top1_agreement"]),
        )
        for entry in manifest["configurations"]
    ]
    console().print(table("Configurations, bits per layer from input to output", columns, rows))


def show_checkup(machine: Mapping[str, Any], reports: Sequence["GraphReport"]) -> None:
    """What ``doctor`` found."""
    out = console()
    quota = f", {machine['cpu_quota_cores']:g} of them allowed" if machine["cpu_quota_cores"] else ""
    versions = machine["versions"]
    rows = [
        ("cpu", f"{machine['cpu']}, {machine['usable_cores']} cores{quota}, {machine['memory_gib']} GiB"),
        ("has", " ".join(machine["flags"]) or "no known instruction set"),
        ("lacks", " ".join(machine["flags_absent"])),
        ("os", f"{machine['os']}, Python {machine['python']}"),
        ("installed", mapping({name: version for name, version in versions.items() if version})),
        ("absent", ", ".join(name for name, version in versions.items() if not version) or "nothing"),
        ("kernels", in_words(machine["kernels"])),
    ]
    out.print(table("This machine", ("", ""), rows))
    for report in reports:
        verdict = "[red]runs in float[/]" if report.float_nodes else "[green]runs in integers[/]"
        on_kernels = f", {report.kernel_nodes} nodes on kernels" if report.kernel_nodes else ""
        out.print(f"{report.graph}: {verdict}{on_kernels} ({mapping(report.operators)})")
        for node in report.float_nodes:
            out.print(f"  float {node.op_type}: {node.node}")


def show_served(summary: "ServeSummary") -> None:
    """What ``serve`` did."""
    out = console()
    known = summary.accuracy is not None
    for title, head, groups in (
        ("By quality, as the estimator sees it", "quality", summary.by_quality),
        ("By route", "configuration", summary.by_route),
    ):
        if not any(group.images for group in groups) and groups is summary.by_quality:
            continue  # the estimator was not asked
        columns = (head, ">images", ">share", *([">right", ">accuracy"] if known else []))
        rows = [
            (group.name, group.images, percent(group.share), *([group.right, percent(group.accuracy)] if known else []))
            for group in groups
        ]
        out.print(table(title, columns, rows))
        out.print()
    times = mapping({name: ms(getattr(summary, f"{name}_ms"), unit=True) for name in ("decode", "estimator", "graph")})
    out.print(
        f"{summary.images} images in {summary.seconds:.1f} s, {summary.images_per_second:.0f} a second; mean {times}"
    )
    if known:
        out.print(f"right on {percent(summary.accuracy)}")
    if summary.mean_cost is not None:
        price = "one configuration for all" if summary.price is None else f"{summary.policy}, price {summary.price:.3g}"
        out.print(f"mean cost {percent(summary.mean_cost)} of the slowest configuration's time; {price}")
    if summary.policy == ESCALATE and summary.escalated is not None:
        out.print(f"{percent(summary.escalated)} escalated: a second configuration looked again")
    if summary.resumed:
        out.print(f"{summary.resumed} images were classified before")
    if summary.errors:
        out.print(f"{summary.errors} images could not be read: their records say why")
    if summary.interrupted:
        out.print("interrupted: --resume does the rest")
    out.print(f"results: {summary.output}", soft_wrap=True)


def show_adaptivity(runs: Sequence[dict[str, Any]]) -> None:
    """Whether choosing pays, for one bundle or for several side by side: every table, and the verdicts."""
    from dqmq_deploy.report.adaptivity.section import intro
    from dqmq_deploy.report.adaptivity.sheets import as_tables

    screen = console()
    screen.print(intro(runs[0]))
    screen.print()
    for found in as_tables(runs):
        columns = [column if i == 0 else f">{column}" for i, column in enumerate(found.columns)]
        screen.print(table(found.title, columns, found.rows, wrap=len(runs) > 1))
        screen.print(found.note, style="dim")
        screen.print()
    for run in runs:
        screen.print(run["verdict"])
    screen.print()


def show_report(report: dict[str, Any], out: Path) -> None:
    """The heart of what ``bench`` measured, and where the rest is."""
    from dqmq_deploy.report.tables import accuracy_and_cost, accuracy_by_quality

    screen = console()
    for found in (accuracy_and_cost(report), accuracy_by_quality(report)):
        if found is not None:
            columns = [column if i == 0 else f">{column}" for i, column in enumerate(found.columns)]
            screen.print(table(found.title, columns, found.rows))
            screen.print()
    if report["adaptivity"] is not None:
        show_adaptivity([report["adaptivity"]])
    timed = [
        (row["name"], row["threads"], *(ms(row[key]) for key in LATENCY_KEYS), f"{row['images_per_s']:,.0f}")
        for row in report["latency"]
    ]
    heads = ("", ">threads", ">p50 ms", ">p90 ms", ">p99 ms", ">images/s in batches")
    screen.print(table("Latency", heads, timed))
    screen.print()
    for sentence in [*report["summary"], *report["notes"]]:
        screen.print(f"- {sentence}")
    screen.print(f"\nThe report: [bold]{out / 'report.html'}[/], and report.json, report.md beside it", soft_wrap=True)
