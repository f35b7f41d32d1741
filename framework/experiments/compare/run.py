"""The course of a comparison: corpus, models, evaluations, table, page. What is finished is recognised."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from framework.core.artifact import FILE as RECORD
from framework.core.artifact import ArtifactSpec, finish, input_of, is_finished
from framework.core.callbacks import Log
from framework.core.errors import TrainingError
from framework.core.parent import child
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.evaluation.evaluate import evaluate, scored_images
from framework.evaluation.text import headline
from framework.experiments.compare.config import Comparison
from framework.experiments.compare.pictures import write_pictures
from framework.experiments.compare.table import SeedRun, compared
from framework.experiments.compare.text import csv_text, markdown
from framework.experiments.compare.verdict import disagreement
from framework.experiments.pipeline.run import build_corpus
from framework.methods.registry import method_of
from framework.reporting.comparison_page import FILE as TABLE
from framework.reporting.comparison_page import read_comparison
from framework.reporting.report import write_report
from framework.training.config import TrainConfig
from framework.training.run import model_store
from framework.training.trainer import artifact_spec

GRACE = 15.0  # seconds that a training gets to end when it is told to


def compare(comparison: Comparison, log: Log = print) -> Store:
    """Train and score every recipe with every seed, write the table and the page; gives the table's folder.

    The same call again recognises finished models and evaluations and continues half-made ones; the table and
    the page are made anew, so that another seed or recipe may join later.
    """
    config = comparison.config
    build_corpus(comparison.recipes[config.control], log)
    masked = [run for run in comparison.recipes.values() if method_of(run.method).segments]
    if masked:  # a split without any mask is an error before the first training, not after it
        scored_images(Corpus.open(masked[0].corpus.path), config.split)
    folder = write_comparison(comparison, _runs(comparison, log))
    log("")
    log(folder.read_text("table.md"))
    log(f"report: {write_report([folder], f'{comparison.folder.url}.html')}")
    return folder


def write_comparison(comparison: Comparison, runs: list[SeedRun]) -> Store:
    """Write the comparison's artifact from finished models and evaluations; gives its folder."""
    config, folder = comparison.config, comparison.folder
    started = time.perf_counter()
    folder.remove(RECORD)  # until all of it is of this call
    inputs = {f"evaluation {run.evaluation.name}": input_of(run.evaluation, "evaluation") for run in runs}
    settings = config.model_dump(include={"seeds", "split", "control", "target_dice"})
    spec = ArtifactSpec("comparison", inputs, settings | {"recipes": list(config.recipes)})
    table = {"name": config.name, **compared(runs, config.control, config.target_dice)}
    validated = comparison.root / f"{config.name}-val"
    if config.split == "test" and validated.exists(RECORD):
        table["notices"] += disagreement(table, read_comparison(validated))
    folder.write_json(TABLE, table)
    folder.write_text("table.csv", csv_text(table))
    folder.write_text("table.md", markdown(table))
    for name, run in comparison.recipes.items():
        folder.write_text(f"recipes/{name}.yaml", run.to_yaml())
    write_pictures(folder, runs, config.control, comparison.recipes[config.control].corpus.path)
    counts = {"cases": table["cases"], "recipes": len(config.recipes)}
    finish(folder, spec, counts, time.perf_counter() - started, folders=["recipes"])
    return folder


def _runs(comparison: Comparison, log: Log) -> list[SeedRun]:
    """All recipes of the first seed, then of the next, several at a time, after those they start from.

    An error or an interrupt stops all trainings; an evaluation in work is finished first.
    """
    config, stop = comparison.config, Event()
    asked = [(name, seed) for seed in config.seeds for name in comparison.recipes]
    made: dict[tuple[str, int], Future[SeedRun]] = {}
    with ThreadPoolExecutor(config.parallel) as pool:
        try:
            while len(ended := _ended(made)) < len(asked):
                left = [run for run in asked if run not in made]
                ready = [run for run in left if ended.issuperset(comparison.starts_from(*run))]
                for run in ready[: config.parallel - len(made) + len(ended)]:
                    made[run] = pool.submit(_seed_run, comparison, *run, stop, log)
                wait([made[run] for run in made.keys() - ended], return_when=FIRST_COMPLETED)
        except BaseException:
            stop.set()
            raise
    return [made[run].result() for run in asked]


def _ended(made: Mapping[tuple[str, int], Future[SeedRun]]) -> set[tuple[str, int]]:
    """The runs that are there; raises the error of one that has failed."""
    return {run for run, future in made.items() if future.done() and future.result()}


def _seed_run(comparison: Comparison, name: str, seed: int, stop: Event, log: Log) -> SeedRun:
    """One recipe and seed; the runs that it starts from are there."""
    if stop.is_set():
        raise TrainingError(f"run '{name}-{seed}': stopped; the same command again continues it")
    run, split = comparison.run(name, seed), comparison.config.split
    model = model_store(run)
    if not is_finished(model, artifact_spec(run)):
        log(f"{run.name}: training")
        train_apart(run, stop)
    scores = Store.at(f"{model.url}-{split}")
    summary = evaluate(model, run.corpus.path, scores, split)
    log(f"{run.name}: {headline(summary)}")
    return SeedRun(name, seed, model, scores)


def train_apart(run: TrainConfig, stop: Event) -> None:
    """Train by the command line in a process of its own, so that memory and threads are the run's alone; it
    ends with this one.

    Its progress goes to stderr. Raises `TrainingError`, also when stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / f"{run.name}.yaml"
        described.write_text(run.to_yaml())
        with child("from framework.cli.main import main; main()", "train", str(described)) as process:
            faults = _until_ended(process, stop)
    if stop.is_set():
        raise TrainingError(f"run '{run.name}': stopped; the same command again continues it")
    if process.returncode:
        lines = [f"the process ended with code {process.returncode}", *faults.strip().splitlines()]
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise TrainingError(f"run '{run.name}': {(said or lines)[-1]}")


def _until_ended(process: subprocess.Popen[str], stop: Event) -> str:
    """What a process wrote to stderr; when `stop` is set it is ended, by force if need be."""
    while not stop.is_set():
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.2)[1]
    process.terminate()
    try:
        return process.communicate(timeout=GRACE)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return ""
