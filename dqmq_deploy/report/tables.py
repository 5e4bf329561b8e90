"""The report's tables, as text: written once, shown by HTML and Markdown alike."""

from dataclasses import dataclass
from typing import Any

from dqmq_deploy.kernels import in_words
from dqmq_deploy.report.figures import band_names
from dqmq_deploy.report.numbers import NOTHING, bitops, digits3, interval, ms, percent, size, times
from dqmq_deploy.report.summary import single_thread


@dataclass(frozen=True)
class Table:
    """A title, column heads, rows of cells; the first column names the row. ``strong`` are rows to point out."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    strong: frozenset[str] = frozenset({"adaptive"})
    measured: bool = True  # False for tables that hold no measurement of this machine


def accuracy_and_cost(report: dict[str, Any]) -> Table | None:
    """Every way to classify the folder, with what it costs."""
    table = report["accuracy"]
    if table is None:
        return None
    rows = {row["name"]: row for row in table["rows"]}
    latency = single_thread(report)
    sizes = {entry["name"]: entry["bytes"] for entry in report["configurations"] + report["baselines"]}
    sizes["adaptive"] = report["bundle"]["bytes"]

    def cells(name: str) -> tuple[str, ...]:
        row = rows[name]
        return (
            name,
            percent(row["accuracy"]),
            interval(row["low"], row["high"]),
            bitops(row["bitops"]),
            ms(latency[name]["mean_ms"]) if name in latency else NOTHING,
            size(sizes.get(name)),
        )

    random, escalation, oracle = table["random"], table["escalation"], table["oracle"]
    beside = (
        (
            "random routing, same mix",
            percent(random["expected"]),
            f"draws {interval(random['low'], random['high'])}",
            bitops(random["bitops"]),
            NOTHING,
            NOTHING,
        ),
        (
            f"escalation ({percent(escalation['escalated'], 0)} run twice)",
            percent(escalation["accuracy"]),
            NOTHING,
            bitops(escalation["bitops"]),
            NOTHING,
            NOTHING,
        ),
        (
            "oracle: cheapest right",
            percent(oracle["accuracy"]),
            interval(oracle["low"], oracle["high"]),
            bitops(oracle["bitops"]),
            NOTHING,
            NOTHING,
        ),
    )
    return Table(
        "Accuracy and cost",
        ("", "accuracy", "95 % interval", "BitOPs", "mean ms", "bytes"),
        (cells("adaptive"), *beside, *(cells(name) for name in rows if name != "adaptive")),
        f"{table['images']:,} images, price {table['price']:g}. BitOPs count the classifier's layers, not the "
        "estimator. Latency: one image, one thread; the adaptive row includes all that it runs, and its bytes "
        "are those of the whole bundle without baselines. Intervals take images as independent; frames of one video "
        "track are not.",
    )


def accuracy_by_quality(report: dict[str, Any]) -> Table | None:
    """Accuracy in each quality band."""
    table = report["accuracy"]
    if table is None:
        return None
    bands = report["routes"]["bands"]
    rows = [
        (row["name"], *(percent(band["accuracy"]) for band in row["bands"]), percent(row["accuracy"]))
        for row in table["rows"]
    ]
    random, oracle = table["random"], table["oracle"]
    rows.insert(1, ("random routing", *(percent(value) for value in random["bands"]), percent(random["expected"])))
    rows.insert(2, ("oracle", *(percent(band["accuracy"]) for band in oracle["bands"]), percent(oracle["accuracy"])))
    widest = max((band["high"] - band["low"]) / 2 for row in table["rows"] for band in row["bands"])
    counts = sorted(band["images"] for band in bands)
    held = f"{counts[0]:,}" + (f" to {counts[-1]:,}" if counts[-1] > counts[0] else "")
    return Table(
        "Accuracy by quality",
        ("quality", *band_names(bands), "all"),
        tuple(rows),
        f"Quality is the estimator's highest p_right; {held} images a band. "
        f"95 % intervals of a cell are at most ±{100 * widest:.1f} points.",
    )


def configurations(report: dict[str, Any]) -> Table:
    """What the bundle's graphs are, on paper."""
    dearest = report["configurations"][-1]["bitops"]
    rows = tuple(
        (
            entry["name"],
            f"{entry['mean_bits']:.1f}",
            bitops(entry["bitops"]),
            percent(entry["bitops"] / dearest, 0),
            size(entry["bytes"]),
            percent(entry["parity"]["top1_agreement"], 2),
        )
        for entry in report["configurations"]
    )
    return Table(
        "Configurations",
        ("", "mean bits", "BitOPs", "of dearest", "bytes", "agrees with torch"),
        rows,
        f"Bytes are the graph and its share of weights.bin; the whole bundle holds {size(report['bundle']['bytes'])} "
        "without baselines. Agreement (top-1) is what the export recorded.",
        measured=False,
    )


def latency(report: dict[str, Any], threads: int) -> Table:
    """Latency of every subject at one number of threads."""
    found = [row for row in report["latency"] if row["threads"] == threads]
    columns = ("p50", "p90", "p99", "min", "max", "mean", "std")
    rows = tuple(
        (
            row["name"],
            *(ms(row[f"{column}_ms"]) for column in columns),
            f"{row['n']:,}",
            ms(row["load_ms"]),
            ms(row["first_ms"]),
            digits3(row["images_per_s"]),
        )
        for row in found
    )
    return Table(
        f"Latency, {threads} thread{'' if threads == 1 else 's'}",
        ("ms", *columns, "n", "load", "first", f"images/s, batch {found[0]['batch']}"),
        rows,
        "One image at a time, the model alone: decoding and input layout are not in it. Candidates took turns in one "
        f"process, {found[0]['rounds']} rounds of blocks of 5 to 100 runs; n counts single runs. Load and first "
        "inference are medians of three, files in the disk cache. Idle threads of onnxruntime sleep, as in serving.",
    )


def ratios(report: dict[str, Any], threads: int) -> Table | None:
    """Time over time of each reference, inside the same round."""
    found = [row for row in report["latency"] if row["threads"] == threads]
    references = list(dict.fromkeys(name for row in found for name in row["ratios"]))
    if not references:
        return None

    def cell(ratio: dict[str, float] | None) -> str:
        return NOTHING if ratio is None else f"{times(ratio['median'])} ({ratio['low']:.2f} to {ratio['high']:.2f})"

    return Table(
        f"Ratios of time, {threads} thread{'' if threads == 1 else 's'}",
        ("", *(f"over {name}" for name in references)),
        tuple((row["name"], *(cell(row["ratios"].get(name)) for name in references)) for row in found),
        "Median over rounds, 10th to 90th percentile in parentheses. Below 1 is faster than the reference.",
    )


def overhead(report: dict[str, Any]) -> Table:
    """Where the dispatcher's time goes."""
    decode = report["routes"]["decode_ms_mean"] if report["routes"] else None
    rows = []
    for row in report["overhead"]:
        ours = row["total_ms"] - row["graph_ms"]
        rows.append(
            (
                "one at a time" if row["batch"] == 1 else f"batches of {row['batch']}",
                ms(row["estimator_ms"]),
                ms(row["dispatch_ms"]),
                ms(row["graph_ms"]),
                ms(row["total_ms"]),
                percent(row["share"]),
                NOTHING if decode is None else percent(ours / (row["total_ms"] + decode)),
            )
        )
    note = (
        "Mean ms per image in the fastest of several passes, one thread. Estimator includes the choice of route, "
        "dispatch is grouping and putting results together; the two shares are of estimator and dispatch in the time "
        "without and with decoding" + ("." if decode is None else f" ({ms(decode)} ms an image).")
    )
    note += " Graphs take turns here and find colder caches than in the tables above, where each runs in blocks."
    if report["pixels"] == "random":
        note += " On random pixels: the routes mean nothing."
    return Table(
        "Estimator and dispatch",
        ("ms per image", "estimator", "dispatch", "graph", "total", "overhead", "with decoding"),
        tuple(rows),
        note,
    )


def surroundings(report: dict[str, Any]) -> Table:
    """The environment, one fact a row."""
    facts, bundle = report["environment"], report["bundle"]
    quota = facts["cpu_quota_cores"]
    cores = f"{facts['usable_cores']} usable of {facts['cores']}" + (f", quota {quota:g}" if quota else "")
    versions = {**{"python": facts["python"]}, **facts["versions"]}
    rows = [
        ("command", report["command"]),
        ("date", facts["date"]),
        ("CPU", str(facts["cpu"]) + (" (virtual machine)" if facts["virtualised"] else "")),
        ("CPU flags", " ".join(facts["flags"]) or "none of note"),
        ("kernels", in_words(facts["kernels"])),
        ("cores", cores),
        ("governor", facts["governor"] or "not readable"),
        ("load before, after", f"{facts['load_average']}, {facts['load_average_after']}"),
        ("memory", f"{facts['memory_gib']} GiB" if facts["memory_gib"] else "not readable"),
        ("system", f"{facts['os']} {facts['machine']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("commit", facts["commit"] or "installed package"),
        ("seed", str(report["seed"])),
        ("bundle", f"{bundle['path']}: {bundle['classes']} classes, {bundle['height']} x {bundle['width']} pixels"),
        ("exported with", ", ".join(f"{name} {version}" for name, version in bundle["exported_with"].items())),
    ]
    return Table("Environment", ("", ""), tuple(rows), measured=False)


def all_threads(report: dict[str, Any]) -> list[int]:
    """Numbers of threads that were measured, ascending."""
    return sorted({row["threads"] for row in report["latency"]})
