"""One finished thing of each kind, and what reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from framework.core.artifact import FILE, ArtifactSpec, Input, add_file, finish
from framework.core.errors import ScantsegError
from framework.core.storage import Store
from framework.corpus.label_layers import LAYER_ROW, Layer
from framework.corpus.layer_writer import LayerWriter
from framework.corpus.map_layers import MAP_ROW, MapLayer, encode_maps
from framework.corpus.reader import Corpus
from framework.corpus.sources import phantom
from framework.corpus.writer import pack
from framework.evaluation.evaluate import evaluate
from framework.experiments.compare.table import SeedRun, compared
from framework.experiments.tune.trials import Trials
from framework.imaging.decode import encode_png
from framework.labelling.job import make
from framework.labelling.least_sure import write_least_sure
from framework.labelling.pseudolabel import PseudoLabel
from framework.labelling.quality import measure_layer
from framework.labelling.weak.config import Box
from framework.labelling.weak.simulate import SimulateWeak
from framework.reporting.contact_sheet import describe
from framework.reporting.report import write_report
from framework.reporting.verify import verify
from framework.training.checkpoint import latest
from framework.training.config import TrainConfig
from framework.training.metric_log import MetricLog
from framework.training.run import begin, train
from framework.training.trainer import Trainer, identity
from tests.contract.support import tiny_run, trained
from tests.experiments.compare.support import comparison_artifact

UNREAD = (
    "step-00000006/checkpoint.json",
    "layers/box/spec.json",
    "corpus-classifier/labelled.json",
    "dcr-dii/trained_image_hashes.json",
    "recipes/pair.yaml",
    "recipes/plain <b>.yaml",
)
"""What nobody parses here: of a finished artifact's only the size is known."""

Read = Callable[[], object]


class World:
    """One finished thing of each kind, and what reads it, by its folder."""

    def __init__(self, root: Path, phantom_url: str) -> None:
        self.root, self.page, self.readers = root, root / "report.html", {}
        self.corpus = shutil.copytree(phantom_url, root / "corpus")
        make(SimulateWeak, Box(), str(self.corpus), "box")
        self.classifier = train(self.run("classifier").model_copy(update={"name": "corpus-classifier"}))
        self.model = train(self.run("dcr-dii"))
        self.add_corpus()
        self.add_layers()
        self.add_models()
        self.add_evaluations()
        self.add_half_made()
        comparison = Path(comparison_artifact(root / "compared").url)
        self.readers[comparison] = self.shown(comparison)
        self.files = self.paths()

    def run(self, method: str, **changes: Any) -> TrainConfig:
        return tiny_run(str(self.corpus), method, self.root, changes)

    def opened(self) -> Corpus:
        return Corpus.open(str(self.corpus))

    def shown(self, folder: Path) -> list[Read]:
        return [lambda: write_report([Store.at(folder)], self.page)]

    def add_corpus(self) -> None:
        source = phantom.source("phantom", images=60, size=48, seed=1)
        self.readers[self.corpus] = [
            lambda: describe(self.opened()),
            lambda: pack(source, Store.at(self.corpus), shard_mb=0.1),
            lambda: Trainer.build(self.run("supervised"), Store.at(self.root), torch.device("cpu")),
        ]

    def add_layers(self) -> None:
        corpus, layers = self.opened(), self.corpus / "layers"
        spec = ArtifactSpec("layer", {"corpus": Input(corpus.store.url, corpus.info.version)}, {})
        pseudo, maps = Store.at(layers / "pseudo"), Store.at(layers / "maps")
        mask = encode_png(np.zeros((48, 48), np.uint8))
        rows = [
            {"id": name, "mask": mask, "kind": "pseudo", "confidence": 0.5} for name in corpus.ids("train")
        ]
        pseudo.write_table("rows-0.parquet", pa.Table.from_pylist(rows, schema=LAYER_ROW))
        write_least_sure(corpus, pseudo)
        counts = {name: {"predicted": 9, "kept": 3} for name in corpus.info.classes}
        finish(pseudo, spec, {"rows": len(rows), "quarantined": 0, "classes": counts}, 0.0)
        measure_layer(corpus, pseudo)
        add_file(pseudo, "quality.json")
        mapped = [{"id": row["id"], **encode_maps({1: np.ones((8, 8))})} for row in rows]
        maps.write_table("rows-0.parquet", pa.Table.from_pylist(mapped, schema=MAP_ROW))
        finish(maps, ArtifactSpec("map layer", spec.inputs, {}), {"rows": len(rows)}, 0.0)
        for name, layer in {"box": Layer, "pseudo": Layer, "maps": MapLayer}.items():
            opens = [lambda layer=layer, name=name: layer.open(self.opened(), name)]
            self.readers[layers / name] = opens + self.shown(layers / name)
        self.readers[layers / "box"] += [lambda: make(SimulateWeak, Box(), str(self.corpus), "box")]
        self.readers[layers / "pseudo"] += [lambda: measure_layer(self.opened(), pseudo)]

    def add_models(self) -> None:
        sources = {"model": self.model.url}
        self.readers[Path(self.model.url)] = [
            *self.shown(Path(self.model.url)),
            lambda: train(self.run("dcr-dii")),
            lambda: evaluate(self.model, str(self.corpus), Store.at(self.root / "new"), "val"),
            lambda: PseudoLabel(PseudoLabel.Config(), self.opened(), sources).rows(),
        ]
        begun = self.run("sks")
        self.readers[Path(self.classifier.url)] = [
            *self.shown(Path(self.classifier.url)),
            lambda: Trainer.build(begun, Store.at(self.root / "sks"), torch.device("cpu")),
        ]

    def add_evaluations(self) -> None:
        for model in (self.model, self.classifier):
            out = Store.at(f"{model.url}-test")
            evaluate(model, str(self.corpus), out)
            compare = SeedRun("control", 0, model, out)
            self.readers[Path(out.url)] = [
                *self.shown(Path(out.url)),
                lambda model=model, out=out: evaluate(model, str(self.corpus), out),
                lambda compare=compare: compared([compare], "control", None),
            ]
        masks = Store.at(f"{self.model.url}-test")
        picture = {"name": "eye", "file": "best-0.png", "predictions": [], "inside": {}}
        masks.write_json("explained.json", {"columns": ["image"], "pictures": [picture]})
        add_file(masks, "explained.json")

    def add_half_made(self) -> None:
        """A run, a corpus, a layer and a search that were interrupted."""
        run = self.run("supervised", train={"steps": 2})
        run, folder = run.model_copy(update={"name": "begun"}), self.root / "begun"
        begin(run, Store.at(folder))
        trained(run, stop=1)
        self.readers[folder] = [
            lambda: begin(run, Store.at(folder)),
            lambda: latest(Store.at(folder) / "checkpoints", identity(run)),
            lambda: MetricLog(Store.at(folder), 1).close(),
        ]
        source, building = phantom.source("p", images=4, size=32, seed=1), self.root / "building"
        Store.at(building).write_json("building.json", {"fingerprint": source.fingerprint, "taken": 0})

        def packed() -> None:
            (building / "corpus.json").unlink(missing_ok=True)
            pack(source, Store.at(building))

        self.readers[building] = [packed]
        layer, spec = LayerWriter(Store.at(self.root / "layer"), []), ArtifactSpec("layer", {}, {})
        layer.claim(spec)
        self.readers[self.root / "layer"] = [lambda: layer.claim(spec)]
        search = Trials(Store.at(self.root / "search"), "h")
        search.add({"train.lr": 1.0})
        search.save()
        self.readers[self.root / "search"] = [lambda: Trials.open(search.store, "h")]

    def paths(self) -> list[tuple[Path, list[Read]]]:
        """Every file to damage, with what reads it."""
        files = (path for path in sorted(self.root.rglob("*")) if path.suffix in (".json", ".jsonl", ".yaml"))
        paths = (path for path in files if not str(path).endswith(UNREAD))
        owned = ((path, [each for each in path.parents if each in self.readers]) for path in paths)
        return [(path, self.reads(owners[0])) for path, owners in owned if owners]

    def reads(self, folder: Path) -> list[Read]:
        """Whoever reads a folder; `verify` reads all that is finished."""
        return [*self.readers[folder], *[lambda: verified(folder)] * (folder / FILE).exists()]

    @contextmanager
    def without_sizes(self) -> Iterator[None]:
        """As artifacts of an earlier version are, of which only the readers can notice anything."""
        records = {path: path.read_text() for path in self.root.rglob(FILE)}
        for path, text in records.items():
            path.write_text(json.dumps(json.loads(text) | {"files": {}, "seal": ""}))
        yield
        for path, text in records.items():
            path.write_text(text)


def verified(folder: Path) -> None:
    """Raises the first fault."""
    for line in verify([Store.at(folder)]):
        if line.startswith("damaged: "):
            raise ScantsegError(line)
