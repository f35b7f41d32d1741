"""Run the stages of a description one after the other; finished artifacts are recognised, half-made ones continued."""

from __future__ import annotations

from typing import Any

from framework.core.artifact import summary
from framework.core.callbacks import Log
from framework.core.config_files import merge, parse
from framework.core.errors import ConfigError, nearest
from framework.core.storage import Store
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import Source, pack
from framework.experiments.pipeline.config import PipelineConfig
from framework.experiments.pipeline.source import FolderConfig, PhantomConfig, SourceConfig
from framework.experiments.pipeline.stages import (
    AnyStage,
    CamStage,
    EvaluateStage,
    MaskStage,
    PseudoLabelStage,
    ReportStage,
    SeedStage,
    TrainStage,
    WalkStage,
)
from framework.training.config import TrainConfig


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
            case PseudoLabelStage():
                log(f"  {summary(_pseudo_label(run, stage, root))}")
            case CamStage():
                log(f"  {summary(_cam(run, stage, root))}")
            case SeedStage():
                log(f"  {summary(_seeds(run, stage, root))}")
            case WalkStage():
                log(f"  {summary(_walk(run, stage, root))}")
            case MaskStage():
                log(f"  {summary(_masks(run, stage, root))}")
            case EvaluateStage():
                _evaluate(run, stage, root, log)
            case ReportStage():
                _report(stage, root, log)
    return root


def build_corpus(run: PipelineConfig, log: Log) -> None:
    """Build the corpus from the run's source when there is one."""
    if run.source is None:
        return
    target = Store.at(run.corpus.path)
    info = pack(describe_source(run.source, target.name), target)
    log(f"corpus {info.name}: {info.counts['rows']} images, version {info.version}")


def describe_source(source: SourceConfig, name: str) -> Source:
    """The rows that a description of a source stands for."""
    if source.phantom is not None:
        return phantom_source(source.phantom, name)
    assert source.folder is not None
    return _folder(source.folder, name)


def phantom_source(config: PhantomConfig, name: str) -> Source:
    """The phantom as a source of rows."""
    from framework.corpus.sources import phantom

    return phantom.source(name, config.images, config.size, config.seed)


def stage_run(run: PipelineConfig, stage: TrainStage, root: Store) -> TrainConfig:
    """The description of one training stage: the run's own with the stage's changes."""
    models = {role: (root / name).url for role, name in stage.models.items()}
    changed = merge(run.model_dump(exclude={"source", "stages"}), {**stage.set, "models": models})
    described = parse(changed, TrainConfig, f"stage '{stage.name}'")
    layers = [*described.corpus.layers, *((root / name).url for name in stage.layers)]
    corpus = described.corpus.model_copy(update={"layers": layers})
    return described.model_copy(update={"name": stage.name, "out": root.url, "corpus": corpus})


def _folder(config: FolderConfig, name: str) -> Source:
    return folder_source(Store.at(config.path), name, config.classes, config.encoding, config.labels)


def _train(run: PipelineConfig, stage: TrainStage, root: Store, log: Log) -> None:
    from framework.training.metric_log import best_score
    from framework.training.run import train

    store = train(stage_run(run, stage, root))
    counts: dict[str, Any] = store.read_json("artifact.json")["counts"]
    best = best_score(counts)
    score = f", best validation {best[0]} {best[1]:.3f}" if best else ""
    log(f"  {counts['labelled_images']} labelled of {counts['train_images']} training images{score}")


def _pseudo_label(run: PipelineConfig, stage: PseudoLabelStage, root: Store) -> Store:
    from framework.labelling.pseudolabel import pseudo_label

    return pseudo_label(root / stage.model, run.corpus.path, (root / stage.name).url, stage.settings)


def _cam(run: PipelineConfig, stage: CamStage, root: Store) -> Store:
    from framework.labelling.cam.job import make_maps

    return make_maps(root / stage.model, run.corpus.path, (root / stage.name).url, stage.settings)


def _seeds(run: PipelineConfig, stage: SeedStage, root: Store) -> Store:
    from framework.labelling.seeds.job import make_seeds

    return make_seeds(run.corpus.path, (root / stage.maps).url, (root / stage.name).url, stage.settings)


def _walk(run: PipelineConfig, stage: WalkStage, root: Store) -> Store:
    from framework.labelling.walk.job import make_walk

    return make_walk(
        root / stage.model, run.corpus.path, (root / stage.maps).url, (root / stage.name).url, stage.settings
    )


def _masks(run: PipelineConfig, stage: MaskStage, root: Store) -> Store:
    from framework.labelling.masks import make_masks

    return make_masks(run.corpus.path, (root / stage.maps).url, (root / stage.name).url, stage.settings)


def _evaluate(run: PipelineConfig, stage: EvaluateStage, root: Store, log: Log) -> None:
    from framework.evaluation.evaluate import evaluate

    summary = evaluate(root / stage.model, run.corpus.path, root / stage.name, stage.split)
    for name, found in summary.get("targets", {}).items():
        area = found["auc"]
        log(
            f"  {name}: "
            + (
                f"AUC {area['mean']:.3f} [{area['low']:.3f}, {area['high']:.3f}]"
                if area
                else "one class only"
            )
        )
    for name, scores in summary.get("predictors", {}).items():
        dice = scores["mean"]["dice"]
        interval = f"[{dice['low']:.3f}, {dice['high']:.3f}]"
        log(
            f"  {name}: mean Dice {dice['mean']:.3f} {interval} over {summary['cases']} cases of {stage.split}"
        )
    for name, found in summary.get("lesions", {}).items():
        area = found["aupr"]
        log(
            f"  {name}: "
            + (f"AUPR {area['mean']:.3f} [{area['low']:.3f}, {area['high']:.3f}]" if area else "in no image")
        )


def _report(stage: ReportStage, root: Store, log: Log) -> None:
    from framework.reporting.report import write_report

    path = write_report([root], root / f"{stage.name}.html")
    log(f"report: {path}")


def _needs(stage: AnyStage) -> list[str]:
    """Names of the stages whose artifacts a stage reads."""
    match stage:
        case TrainStage():
            return [*stage.layers, *stage.models.values()]
        case SeedStage() | MaskStage():
            return [stage.maps]
        case WalkStage():
            return [stage.model, stage.maps]
        case PseudoLabelStage() | CamStage() | EvaluateStage():
            return [stage.model]
        case ReportStage():
            return []


def _check_names(run: PipelineConfig) -> None:
    """Every stage refers to an earlier one by name."""
    seen: set[str] = set()
    for stage in run.stages:
        for name in _needs(stage):
            if name not in seen:
                raise ConfigError(
                    f"stage '{stage.name}' refers to '{name}', which no stage before it makes{nearest(name, seen)}"
                )
        if stage.name in seen:
            raise ConfigError(f"two stages are named '{stage.name}'; give each a name of its own")
        seen.add(stage.name)
