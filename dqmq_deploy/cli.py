"""The command line: parse, call, print. What a command does lives in the part it calls; how it looks, in ``show``.

Nothing heavy is imported before a command runs, so that ``--help`` is quick and serving never loads torch.

    exit code 0   done
              1   failed (training diverged, disk full, a bug)
              2   wrong input (a file, an option); the one line on standard error says how to mend it
            130   interrupted
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer

from dqmq_deploy.errors import DqmqError, InputError

P = ParamSpec("P")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

EXTRAS = {"torch": "train", "onnx": "train", "pyarrow": "parquet", "openvino": "openvino"}
"""Which extra of the package installs a module that a command may miss."""

app = typer.Typer(
    name="dqmq-deploy",
    help="Train, export and serve image classifiers whose precision follows the quality of each image.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def main() -> None:
    """Run the command line; the console script's entry."""
    app(prog_name="dqmq-deploy")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Register a command whose errors become one line on standard error and an exit code."""

    @app.command()
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.get("debug"))
        try:
            function(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            # whoever read our output has seen enough; the interpreter must not flush the rest at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (typer.Exit, typer.Abort):
            raise
        except DqmqError as error:
            _fail(error, str(error), error.exit_code, debug)
        except ModuleNotFoundError as error:
            extra = EXTRAS.get((error.name or "").split(".")[0])
            hint = f"pip install 'dqmq-deploy[{extra}]'" if extra else "--debug shows where"
            _fail(error, f"this needs the module '{error.name}', which is not installed: {hint}", 1, debug)
        except Exception as error:
            _fail(error, f"unexpected {type(error).__name__}: {error}; --debug shows where", 1, debug)

    return run


def _fail(error: Exception, message: str, exit_code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exception(error)
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise typer.Exit(exit_code) from None


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _show_path(path: Path, as_json: bool) -> None:
    """What a checkpoint or a bundle holds."""
    from dqmq_deploy.describe import describe

    found = describe(path)
    if as_json:
        _print_json(found)
    else:
        from dqmq_deploy.show import show_description

        show_description(found)


def _names(text: str) -> tuple[str, ...]:
    """Names out of ``a,b``; an empty text is none."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _counts(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option}: expected numbers with commas, such as 1,2, got '{text}'") from None


@command
def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="The recipe, a TOML file; models/ has some to start from.")
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="A folder, or a zip, with one folder of images a class.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint; its log lies beside it.")] = Path(
        "checkpoint.pt"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint, bit by bit as if never stopped.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides the recipe.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to train; auto: on a GPU if there is one.")
    ] = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a network at several precisions, its bit-width policy and its quality estimator."""
    from dqmq_deploy.news import TrainingNews
    from dqmq_deploy.terminal import progress
    from dqmq_deploy.train.run import TrainJob
    from dqmq_deploy.train.run import train as run

    job = TrainJob(recipe=recipe, data=data, out=out, resume=resume, overrides=tuple(settings or ()), device=device)
    with progress() as shown:
        run(job, TrainingNews(shown).hear)
    if os.environ.get("RANK", "0") == "0":  # under torchrun one process speaks for all
        _show_path(out, as_json)


@command
def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="What train wrote.")],
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="The bundle; default: the model's name.dqmq.")
    ] = None,
    with_baselines: Annotated[
        bool, typer.Option("--with-baselines", help="Add float and int8 graphs of the same network, for bench.")
    ] = False,
    flat: Annotated[bool, typer.Option("--flat", help="Add plain QDQ graphs, for other runtimes.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compile a checkpoint into a bundle and check every graph against torch; needs no data."""
    from dqmq_deploy.export.run import export as run

    result = run(checkpoint, out, with_baselines=with_baselines, flat=flat)
    for note in result.manifest.notes:
        typer.echo(f"note: {note}", err=True)
    _show_path(result.path, as_json)


@command
def serve(
    images: Annotated[Path, typer.Option(metavar="DIR", help="Folder; every image below it is classified.")],
    bundle: Annotated[Path | None, typer.Option(help="Default: $DQMQ_BUNDLE, else the only *.dqmq here.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Results: .jsonl, .csv or .parquet.")] = Path(
        "results.jsonl"
    ),
    price: Annotated[float | None, typer.Option(help="Accuracy given up per unit of cost; 0 buys the best.")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="Most accurate within this mean time an image.")] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="Cheapest with at least this accuracy, 0 to 1.")] = None,
    config: Annotated[str | None, typer.Option(help="One configuration for every image.")] = None,
    escalate: Annotated[
        bool | None,
        typer.Option(
            "--escalate/--no-escalate",
            help="A cheap configuration first, a dearer one where it is unsure; or the estimator's choice. "
            "Default: what the export found better.",
        ),
    ] = None,
    labels: Annotated[str | None, typer.Option(help="folders: an image's first folder is its class.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with new images until interrupted.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the output's records, do the rest.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that compute; default: all cores.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Classify a folder of images, each by the configuration that pays for it."""
    from dqmq_deploy.news import serve_note
    from dqmq_deploy.serve.job import ServeJob
    from dqmq_deploy.serve.job import serve as run
    from dqmq_deploy.show import show_served
    from dqmq_deploy.terminal import progress

    job = ServeJob(
        images=images,
        bundle=bundle,
        output=output,
        price=price,
        max_latency_ms=max_latency_ms,
        min_accuracy=min_accuracy,
        config=config,
        escalate=escalate,
        labels=labels,
        watch=watch,
        resume=resume,
        threads=threads,
    )
    with progress() as shown:
        summary = run(
            job, lambda at: shown.tell("serving", None if watch else at.done / max(1, at.total), serve_note(at))
        )
    if as_json:
        _print_json(summary.to_dict())
    else:
        show_served(summary)
    if summary.interrupted and not watch:
        raise typer.Exit(INTERRUPTED)


@command
def bench(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The NAME.dqmq to measure.")],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Images for accuracy and routing; folders name classes.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="folders: they are classes; none: they are not; auto: if they fit.")
    ] = "auto",
    against: Annotated[str, typer.Option(help="Baselines, with commas.")] = "fp32,ort-int8,openvino-int8",
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas.")] = "1",
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of report.html, report.json, report.md.")] = Path(
        "report"
    ),
    price: Annotated[float | None, typer.Option(help="Price of the adaptive row; defaults to the bundle's.")] = None,
    seconds: Annotated[float, typer.Option(help="Time to measure, for each number of threads.")] = 12.0,
    batch: Annotated[int, typer.Option(help="Images in a batch where throughput is measured.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of the order of measurements, of random routing, of --degrade.")] = 0,
    adaptivity: Annotated[
        bool, typer.Option("--adaptivity", help="Find out whether choosing pays, at equal mean measured time.")
    ] = False,
    degrade: Annotated[
        str, typer.Option(help="For --adaptivity: none, images as they are; mixed or foreign, half of them degraded.")
    ] = "none",
    copies: Annotated[
        int, typer.Option(metavar="N", help="Copies of each image, every one degraded by another draw.")
    ] = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure latency, BitOPs and accuracy by quality on this machine, and write the report."""
    from dqmq_deploy.report.bench import BenchJob
    from dqmq_deploy.report.bench import bench as measure
    from dqmq_deploy.terminal import progress

    job = BenchJob(
        bundle=bundle,
        images=images,
        labels=labels,
        against=_names(against),
        threads=_counts(threads, "--threads"),
        out=out,
        seconds=seconds,
        batch=batch,
        price=price,
        seed=seed,
        adaptivity=adaptivity,
        degrade=degrade,
        copies=copies,
    )
    with progress() as shown:
        report = measure(job, shown.tell)
    if as_json:
        _print_json(report)
    else:
        from dqmq_deploy.show import show_report

        show_report(report, out)


@command
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A checkpoint.pt or a NAME.dqmq.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what a checkpoint or a bundle holds."""
    _show_path(path, as_json)


@command
def doctor(
    path: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="A NAME.dqmq whose graphs to check.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check this machine, and that a bundle's graphs run in integers on it; exit code 1 if one does not."""
    from dataclasses import asdict

    from dqmq_deploy.doctor import examine, machine

    facts, reports = machine(), [] if path is None else list(examine(path))
    if as_json:
        _print_json({"machine": facts, "graphs": [asdict(report) for report in reports]})
    else:
        from dqmq_deploy.show import show_checkup

        show_checkup(facts, reports)
    if any(report.float_nodes for report in reports):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
