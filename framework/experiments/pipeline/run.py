"""Run the stages of a description in order; finished artifacts are recognised, half-made ones continued."""

from typing import Any

from framework.core.artifact import read_record, summary
from framework.core.callbacks import Log
from framework.core.config_files import merge, parse
from framework.core.errors import ConfigError, nearest
from framework.core.storage import Store
from framework.corpus.sources import phantom
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import Source, pack
from framework.evaluation.evaluate import evaluate
from framework.evaluation.text import score_lines
from framework.experiments.pipeline.config import PhantomConfig, PipelineConfig
from framework.experiments.pipeline.stages import EvaluateStage, ReportStage, TrainStage
from framework.labelling.job import make
from framework.labelling.registry import JOBS
from framework.reporting.report import write_report
from framework.training.config import TrainConfig
from framework.training.metric_log import best_score
from framework.training.run import train


def run_stages(run: PipelineConfig, log: Log = print) -> Store:
    """Make every artifact of a run below `out/name`; gives that folder. `log` hears one line per stage."""
    root = Store.at(run.out) / run.name
    _check_names(run)
    build_corpus(run, log)
    for stage in run.stages:
        log(f"{stage.name}: {stage.stage}")
        match stage:
            case TrainStage():
                _train(run, stage, root, log)
            case EvaluateStage():
                _evaluate(run, stage, root, log)
            case ReportStage():
                log(f"report: {write_report([root], root / f'{stage.name}.html')}")
            case _:
                log(f"  {summary(_run_job(run, stage, root))}")
    return root


def build_corpus(run: PipelineConfig, log: Log) -> None:
    """Build the corpus from the run's source when there is one."""
    if run.source is None:
        return
    target, folder = Store.at(run.corpus.path), run.source.folder
    if folder is not None:
        path = Store.at(folder.path)
        source = folder_source(path, target.name, **folder.model_dump(exclude={"path"}))
    else:
        assert run.source.phantom is not None
        source = phantom_source(run.source.phantom, target.name)
    info = pack(source, target)
    log(f"corpus {info.name}: {info.counts['rows']} images, version {info.version}")
    for note in info.notes:
        log(f"  note: {note}")


def phantom_source(config: PhantomConfig, name: str) -> Source:
    """The phantom as a source of rows."""
    return phantom.source(name, config.images, config.size, config.seed)


def stage_run(run: PipelineConfig, stage: TrainStage, root: Store) -> TrainConfig:
    """The description of one training stage: the run's own with the stage's changes."""
    models = {role: (root / name).url for role, name in stage.models.items()}
    changed = merge(run.model_dump(exclude={"source", "stages"}), {**stage.set, "models": models})
    described = parse(changed, TrainConfig, f"stage '{stage.name}'")
    layers = [*described.corpus.layers, *((root / name).url for name in stage.layers)]
    corpus = described.corpus.model_copy(update={"layers": layers})
    return described.model_copy(update={"name": stage.name, "out": root.url, "corpus": corpus})


def _train(run: PipelineConfig, stage: TrainStage, root: Store, log: Log) -> None:
    counts = read_record(train(stage_run(run, stage, root)))["counts"]
    best = best_score(counts)
    score = f", best validation {best[0]} {best[1]:.3f}" if best else ""
    log(f"  {counts['labelled_images']} labelled of {counts['train_images']} training images{score}")


def _run_job(run: PipelineConfig, stage: Any, root: Store) -> Store:
    job, sources = JOBS[stage.stage], {}
    for role, source in job.reads.items():
        place = getattr(stage, role)
        sources[role] = (root / place).url if source.stage else place
    return make(job, stage.settings, run.corpus.path, (root / stage.name).url, **sources)


def _evaluate(run: PipelineConfig, stage: EvaluateStage, root: Store, log: Log) -> None:
    for line in score_lines(evaluate(root / stage.model, run.corpus.path, root / stage.name, stage.split)):
        log(f"  {line}")


def _needs(stage: Any) -> list[str]:
    """Names of the stages whose artifacts a stage reads."""
    match stage:
        case TrainStage():
            return [*stage.layers, *stage.models.values()]
        case EvaluateStage():
            return [stage.model]
        case ReportStage():
            return []
    return [getattr(stage, role) for role, source in JOBS[stage.stage].reads.items() if source.stage]


def _check_names(run: PipelineConfig) -> None:
    """Every stage refers to an earlier one by name."""
    seen: set[str] = set()
    for stage in run.stages:
        for name in _needs(stage):
            if name not in seen:
                fault = f"stage '{stage.name}' refers to '{name}', which no stage before it makes"
                raise ConfigError(fault + nearest(name, seen))
        if stage.name in seen:
            raise ConfigError(f"two stages are named '{stage.name}'; give each a name of its own")
        seen.add(stage.name)
