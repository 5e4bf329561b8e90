"""The report in plain words: what came out, against what, and what it does not show.

Every sentence is chosen by the measurement. Where fewer bits save no time on this runtime, that is what it says.
"""

from typing import Any

from dqmq_deploy.report.numbers import bitops, digits3, interval, ms, percent, points, points_interval, times

SAME_TIME = 1.15
"""Slowest over fastest configuration below which all are said to take the same time."""


def summary(report: dict[str, Any]) -> list[str]:
    """Sentences for the top of the report, the most important first."""
    return [
        *_adaptivity(report),
        *_accuracy(report),
        *_clock(report),
        *_overhead(report),
        *_baselines(report),
        *_limits(report),
    ]


def _adaptivity(report: dict[str, Any]) -> list[str]:
    found = report["adaptivity"]
    if found is None:
        return []
    return [found["verdict"] + ("" if found["protocol"] == "none" else " Half of the images were degraded for that.")]


def single_thread(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Latency rows at one thread, by name."""
    return {row["name"]: row for row in report["latency"] if row["threads"] == 1}


def _accuracy(report: dict[str, Any]) -> list[str]:
    table = report["accuracy"]
    if table is None:
        return []
    rows = {row["name"]: row for row in table["rows"]}
    ours, best = rows["adaptive"], rows[table["best_static"]]
    dearest = report["configurations"][-1]
    lines = [
        f"Sending each image to the graph that pays for it, at price {table['price']:g}, "
        f"{report['bundle']['name']} is right on {percent(ours['accuracy'])} of {table['images']:,} images "
        f"(95 % interval {interval(ours['low'], ours['high'])}). It spends {bitops(ours['bitops'])} BitOPs an image, "
        f"{percent(ours['bitops'] / dearest['bitops'], 0)} of the dearest configuration, {dearest['name']}."
    ]
    gap = table["adaptive_minus_best_static"]
    lines.append(
        f"The best configuration for all images, {best['name']}, is right on {percent(best['accuracy'])} for "
        f"{bitops(best['bitops'])} BitOPs. The adaptive whole differs from it by {points(gap['difference'])} points "
        f"({points_interval(gap)}, paired): {_verdict(gap)}."
    )
    worth = table["adaptive_minus_random"]
    lines.append(
        f"The same mix of routes picked at random reaches {percent(table['random']['expected'])}, so choosing by "
        f"quality is worth {points(worth['difference'])} points ({points_interval(worth)}"
        f"{'; not more than chance' if worth['low'] <= 0 <= worth['high'] else ''}). Escalating from the cheapest to "
        f"the dearest at the same BitOPs reaches {percent(table['escalation']['accuracy'])}; "
        f"an oracle would reach {percent(table['oracle']['accuracy'])}."
    )
    return lines


def _verdict(gap: dict[str, float]) -> str:
    if gap["low"] > 0:
        return "better"
    if gap["high"] < 0:
        return "worse"
    return "no difference that these images can show"


def _clock(report: dict[str, Any]) -> list[str]:
    rows = single_thread(report)
    configurations = report["configurations"]
    if len(configurations) < 2:
        return []
    p50 = [rows[entry["name"]]["p50_ms"] for entry in configurations]
    paper = configurations[-1]["bitops"] / configurations[0]["bitops"]
    spread = max(p50) / min(p50)
    isa = report["environment"]["kernels"]["isa"]
    runtime = f"onnxruntime {report['environment']['versions'].get('onnxruntime', '')}".strip()
    runtime += f" with {isa} kernels" if isa else ""
    if spread < SAME_TIME:
        reason = "" if isa else ", because stock onnxruntime runs every precision with its 8-bit kernels"
        lines = [
            f"On this runtime, {runtime}, BitOPs are paper: they differ {digits3(paper)}-fold between configurations, "
            f"but all {len(configurations)} take about the same time, {ms(min(p50))} to {ms(max(p50), unit=True)} an "
            f"image on one thread{reason}. Fewer bits save bytes here, not time."
        ]
    else:
        lines = [
            f"On {runtime} the configurations' BitOPs differ {digits3(paper)}-fold, their measured time "
            f"{times(spread)[:-1]}-fold ({ms(min(p50))} to {ms(max(p50), unit=True)} an image on one thread)."
        ]
    lines += _against_stock(report)
    adaptive, dearest = rows.get("adaptive"), configurations[-1]["name"]
    if adaptive is not None and adaptive["ratios"][dearest]["low"] > 1:
        ratio = adaptive["ratios"][dearest]
        best = report["accuracy"]["best_static"] if report["accuracy"] else dearest
        lines.append(
            f"The adaptive whole takes {ms(adaptive['p50_ms'], unit=True)} an image, {times(ratio['median'])} the time "
            f"of {dearest} alone ({ratio['low']:.2f} to {ratio['high']:.2f}): where only time counts on this runtime, "
            f"serve one configuration with --config {best}."
        )
    return lines


def _against_stock(report: dict[str, Any]) -> list[str]:
    rows = single_thread(report)
    ratios = {entry["name"]: rows[entry["name"]].get("over_stock") for entry in report["configurations"]}
    said = [
        f"{name} {times(ratio['median'])} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        for name, ratio in ratios.items()
        if ratio
    ]
    return [f"Time with our kernels over time on stock onnxruntime, same graph: {', '.join(said)}."] if said else []


def _overhead(report: dict[str, Any]) -> list[str]:
    if not report["overhead"]:
        return []
    single, batched = report["overhead"][0], report["overhead"][-1]
    decode = report["routes"]["decode_ms_mean"] if report["routes"] else None
    line = (
        f"Estimator and dispatch cost {ms(single['estimator_ms'] + single['dispatch_ms'], unit=True)} an image, "
        f"{percent(single['share'])} of the time without decoding ({percent(batched['share'])} in batches of "
        f"{batched['batch']}"
    )
    if decode is not None:
        with_decode = (single["total_ms"] - single["graph_ms"]) / (single["total_ms"] + decode)
        line += f"; {percent(with_decode)} of single images with decoding"
    return [line + ")."]


def _baselines(report: dict[str, Any]) -> list[str]:
    rows = single_thread(report)
    dearest = report["configurations"][-1]["name"]
    said = []
    for baseline in report["baselines"]:
        ratio = rows[dearest]["ratios"].get(baseline["name"])
        if ratio:
            said.append(
                f"{times(ratio['median'])} the time of {baseline['name']} ({ratio['low']:.2f} to {ratio['high']:.2f})"
            )
    return [f"{dearest} takes {', '.join(said)}; medians over interleaved rounds on one thread."] if said else []


def _limits(report: dict[str, Any]) -> list[str]:
    facts = report["environment"]
    lines = []
    if report["pixels"] == "random":
        lines.append(
            "No images were given: latency was measured on random pixels of the bundle's own size, and accuracy, "
            "routes and the adaptive whole were not measured. Run again with --images."
        )
    elif report["accuracy"] is None:
        lines.append(
            "The images carry no labels (their folders are not named as the bundle's classes): accuracy was not "
            "measured."
        )
    if report["routes"] and report["routes"]["unreadable"]:
        lines.append(f"{report['routes']['unreadable']:,} images could not be read and are left out.")
    load, cores = facts.get("load_average"), facts.get("usable_cores") or 1
    if load is not None and load > 0.5 * cores:
        lines.append(
            f"The machine was busy (load {load:g} on {cores} cores before the run): trust ratios more than "
            "milliseconds."
        )
    return lines
