"""The command line as a user meets it: what goes wrong is one line and exit code 1, and nothing is lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from framework.cli import main as cli
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.sources import phantom
from framework.corpus.writer import pack

ENTRY = [sys.executable, "-c", "from framework.cli.main import main; main()"]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that failed."""
        lines = self.err.strip().splitlines()
        assert self.code == 1, self
        assert len(lines) == 1 and lines[0].startswith("error: "), self
        return lines[0].removeprefix("error: ")


Scantseg = Callable[..., Outcome]


@pytest.fixture
def scantseg(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Scantseg:
    """Runs a command in this process, through the entry point that the installed command has."""

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["scantseg", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def recipe(tmp_path: Path, phantom_url: str) -> Path:
    """A run of one step of a tiny network, without Ray."""
    described = {
        "name": "tiny",
        "out": str(tmp_path / "runs"),
        "corpus": {"path": phantom_url, "size": 32},
        "network": {"name": "unet", "widths": [4, 8]},
        "train": {"steps": 1, "batch": 2},
        "compute": {"workers": 0},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(described))
    return path


def bomb(path: Path) -> None:
    """A valid PNG of 20,000 x 20,000 one-bit pixels."""
    import struct
    import zlib

    deflate = zlib.compressobj(1)
    body = b"".join(deflate.compress(bytes(2501)) for _ in range(20000)) + deflate.flush()
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)),
        (b"IDAT", body),
        (b"IEND", b""),
    ]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-24])


def paint(
    shape: tuple[int, ...], value: int = 0, depth: type[np.generic] = np.uint8
) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(np.full(shape, value, depth)).save(path)


BAD_ROWS = {
    "zero bytes": ("images", lambda path: path.write_bytes(b""), "image file is empty (0 bytes)"),
    "truncated": ("images", truncate, "image file cannot be read: truncated or damaged"),
    "not an image": (
        "images",
        lambda path: path.write_text("<html>404</html>"),
        "image file cannot be read: not a picture",
    ),
    "bomb": ("images", bomb, "image is over the limit of 64 megapixels"),
    "missing image": ("images", lambda path: path.unlink(), "no file of this id in images/"),
    "mask of another size": ("masks", paint((20, 24)), "mask is 24 x 20 but its image is 20 x 24"),
    "unknown class": ("masks", paint((24, 20), 7), "mask has unknown class ids [7]: 0..2 are known"),
    "deep unknown class": ("masks", paint((24, 20), 600, np.uint16), "mask has unknown class ids [600]"),
    "RGBA mask": ("masks", paint((24, 20, 4)), "mask has mode RGBA: needs one channel of class ids"),
    "truncated mask": ("masks", truncate, "mask file cannot be read: truncated or damaged"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_a_bad_row_stops_the_build_or_goes_to_quarantine_as_the_budget_says(
    fault: str, folder: Path, tmp_path: Path, scantseg: Scantseg
) -> None:
    place, spoil, reason = BAD_ROWS[fault]
    spoil(folder / place / "case-03.png")
    command = ["corpus", "build", folder, tmp_path / "c", "--classes", "background,a,b"]
    complaint = scantseg(*command).complaint
    assert "1 rows cannot be used, over the error budget of 5.0% of 12" in complaint
    assert f"'case-03': {reason}" in complaint
    assert not (tmp_path / "c/corpus.json").exists()
    again = scantseg(*command, "--error-budget", "0.1")
    assert again.code == 0
    assert "11 images in 1 shards" in again.out
    assert "1 rows are in quarantine" in again.err
    [row] = pq.read_table(tmp_path / "c/quarantine.parquet").to_pylist()
    assert row["id"] == "case-03" and row["reason"].startswith(reason)


def test_unusual_but_readable_pictures_are_rows(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    deep = np.arange(480, dtype=np.uint16).reshape(24, 20) * 100
    Image.fromarray(deep).save(folder / "images/case-00.png")
    colours = np.random.default_rng(0).integers(0, 256, (24, 20, 4), np.uint8)
    Image.fromarray(colours).save(folder / "images/case-01.png")
    mask = np.asarray(Image.open(folder / "masks/case-02.png"))
    Image.fromarray(mask.astype(np.uint16)).save(folder / "masks/case-02.png")
    assert scantseg("corpus", "build", folder, tmp_path / "c").code == 0
    corpus = Corpus.open(str(tmp_path / "c"))
    assert corpus.info.counts["rows"] == 12
    assert np.array_equal(corpus.image("case-00")[..., 0], deep)
    assert np.array_equal(corpus.image("case-01"), colours[..., :3])
    assert (corpus.mask("case-02") == mask).all()


def test_files_without_rows_are_in_quarantine(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    shutil.copy(folder / "images/case-00.png", folder / "images/stray.png")
    assert (
        "'stray': image without a row of its id"
        in scantseg("corpus", "build", folder, tmp_path / "c").complaint
    )
    assert "12 images" in scantseg("corpus", "build", folder, tmp_path / "c", "--error-budget", "0.1").out


BAD_TABLES = {
    "id,split\n": "labels.csv: no rows; it needs one row per image",
    "": "labels.csv: no column 'id'; it has: none",
    "id,split\ncase-00,train\ncase-00,train\n": "labels.csv: id 'case-00' occurs twice; ids must be unique",
    "id,split,patient\ncase-00,train,p\ncase-01,test,p\n": "group 'p' is in two splits, 'train' and 'test'",
    'id,split\n"case\n00",trian\n': "labels.csv: id 'case 00' has split 'trian'",
    "id,split\ncase-00,trian\n": "labels.csv: id 'case-00' has split 'trian'; did you mean 'train'?",
    "id,split\ncase-00,test\n": "no row is in split 'train'; check the column 'split' of labels.csv",
}


@pytest.mark.parametrize("text", BAD_TABLES)
def test_a_bad_table_is_one_line(text: str, folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    (folder / "labels.csv").write_text(text)
    assert (
        BAD_TABLES[text]
        in scantseg("corpus", "build", folder, tmp_path / "c", "--error-budget", "1").complaint
    )


def test_sources_that_are_not_there(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    def complaint(source: object, out: object = tmp_path / "c") -> str:
        return scantseg("corpus", "build", source, out).complaint

    assert (
        complaint(tmp_path / "nowhere")
        == f"{tmp_path}/nowhere: no folder there; expected images/, masks/ and labels.csv"
    )
    (folder / "labels.csv").rename(folder / "labels.txt")
    assert complaint(folder) == f"{folder}: no labels.csv there; expected images/, masks/ and labels.csv"
    assert "storage 'gs://' is not known; use a local path or s3://" in complaint("gs://bucket/folder")
    assert "storage 'hdfs://' is not known" in complaint(folder, "hdfs://c")


def test_a_corpus_of_another_source_is_left_alone(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    assert scantseg("corpus", "build", folder, tmp_path / "c").code == 0
    before = (tmp_path / "c/corpus.json").read_text()
    assert scantseg("corpus", "build", folder, tmp_path / "c").code == 0
    assert (
        "holds a corpus from another source"
        in scantseg("corpus", "phantom", "--images", 4, "--out", tmp_path / "c").complaint
    )
    assert (tmp_path / "c/corpus.json").read_text() == before


@pytest.mark.parametrize("place", ["{tmp}/file/below", "/proc/below"])
def test_storage_that_cannot_be_written(
    place: str, folder: Path, tmp_path: Path, recipe: Path, phantom_url: str, scantseg: Scantseg
) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    below = place.format(tmp=tmp_path)
    for command in (
        ["corpus", "build", folder, below],
        ["corpus", "phantom", "--images", 4, "--out", below],
        ["corpus", "inspect", phantom_url, "--count", 1, "--out", f"{below}/sheet.png"],
        ["train", recipe, f"out={below}"],
    ):
        complaint = scantseg(*command).complaint
        assert complaint.startswith(below)
        assert "; check " in complaint


BAD_RUNS = {
    "unknown key": (["train.stepz=3"], "tiny.yaml: unknown key 'train.stepz'; did you mean 'steps'?"),
    "wrong type": (
        ["train.steps=many"],
        "tiny.yaml: key 'train.steps' is 'many': input should be a valid integer",
    ),
    "missing key": (["corpus=null"], "tiny.yaml: key 'corpus' is None"),
    "bad override": (["train.steps"], "'train.steps': an override has the form key.sub=value"),
    "no corpus": (
        ["corpus.path=/nowhere/c"],
        "/nowhere/c: no corpus here; make one with `scantseg corpus build`",
    ),
    "other storage": (["corpus.path=gs://bucket/c"], "'gs://bucket/c': storage 'gs://' is not known"),
    "no label left": (["corpus.budget.share=0.01"], "label budget: 1.0% of the"),
    "no such stratum": (["corpus.budget.stratify=grad"], "has no image label 'grad'; it has: grade"),
    "nothing unlabelled": (
        ["method.name=cps"],
        "method 'cps' needs unlabelled training images and there is none",
    ),
    "no such layer": (
        ["corpus.layers=[round-1]"],
        "layers/round-1: no finished layer here; make one with `scantseg pseudolabel`, `scantseg",
    ),
}


@pytest.mark.parametrize("fault", BAD_RUNS)
def test_a_bad_run_is_one_line(fault: str, recipe: Path, scantseg: Scantseg) -> None:
    overrides, message = BAD_RUNS[fault]
    assert message in scantseg("train", recipe, *overrides).complaint


BAD_FILES = {
    "name: [x\n": "bad.yaml: not valid YAML",
    "corpus: {size: 32}\n": "bad.yaml: key 'name' is missing; key 'corpus.path' is missing",
    "include: [absent.yaml]\n": "absent.yaml: no such configuration file; those here: bad.yaml",
    "": "bad.yaml: holds no keys",
}


@pytest.mark.parametrize("text", BAD_FILES)
@pytest.mark.parametrize("command", ["train", "run"])
def test_a_bad_file_is_one_line(command: str, text: str, tmp_path: Path, scantseg: Scantseg) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert BAD_FILES[text] in scantseg(command, tmp_path / "bad.yaml").complaint


def test_a_missing_file_names_those_that_are_there(recipe: Path, scantseg: Scantseg) -> None:
    complaint = scantseg("train", recipe.with_name("tinny.yaml")).complaint
    assert complaint == f"{recipe.parent}/tinny.yaml: no such configuration file; those here: tiny.yaml"


def test_splits_that_cannot_be_evaluated(
    recipe: Path, folder: Path, phantom_url: str, tmp_path: Path, scantseg: Scantseg
) -> None:
    model = tmp_path / "runs/tiny"
    assert "no finished model here; make it first" in scantseg("evaluate", model, phantom_url).complaint
    assert scantseg("train", recipe).code == 0
    assert (
        "has no row in split 'tset'; it has: test, train, val"
        in scantseg("evaluate", model, phantom_url, "--split", "tset").complaint
    )
    assert "no corpus here" in scantseg("evaluate", model, folder).complaint
    rows = (folder / "labels.csv").read_text().replace(",test,", ",val,")
    (folder / "labels.csv").write_text(rows)
    assert scantseg("corpus", "build", folder, tmp_path / "c").code == 0
    assert "the model knows classes" in scantseg("evaluate", model, tmp_path / "c").complaint
    assert scantseg("train", recipe, "name=small", f"corpus.path={tmp_path / 'c'}").code == 0
    assert (
        "has no row in split 'test'; it has: train, val"
        in scantseg("evaluate", tmp_path / "runs/small", tmp_path / "c").complaint
    )


def test_the_same_training_again_is_recognised_and_another_one_refused(
    recipe: Path, tmp_path: Path, scantseg: Scantseg
) -> None:
    assert scantseg("train", recipe).code == 0
    log = (tmp_path / "runs/tiny/metrics.jsonl").read_text()
    assert scantseg("train", recipe).out.strip().endswith(f"model: {tmp_path}/runs/tiny")
    assert (
        "holds a finished model of another configuration"
        in scantseg("train", recipe, "train.steps=2").complaint
    )
    assert (tmp_path / "runs/tiny/metrics.jsonl").read_text() == log


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_a_usage_error(seed: int, tmp_path: Path, scantseg: Scantseg) -> None:
    outcome = scantseg("corpus", "phantom", "--images", 4, "--out", tmp_path / "c", f"--seed={seed}")
    assert outcome.code == 2
    assert "'--seed': Input should be" in outcome.err
    assert (
        scantseg(
            "corpus", "phantom", "--images", 2, "--out", tmp_path / "c", f"--seed={2**63 - 1}", "--size", 32
        ).code
        == 0
    )


def test_an_interrupt_is_one_line_and_the_same_command_continues(tmp_path: Path) -> None:
    """A real Ctrl-C in a real process, once a few shards are written."""
    words = [
        "corpus",
        "phantom",
        "--images",
        "120",
        "--size",
        "32",
        "--shard-mb",
        "0.02",
        "--out",
        str(tmp_path / "c"),
    ]
    running = subprocess.Popen(
        [*ENTRY, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a suite that runs in the background ignores it
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "c/rows-00003.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == cli.INTERRUPTED
    assert err.strip() == "interrupted: the same command again continues"
    assert not list((tmp_path / "c").glob("*.partial"))
    ended = subprocess.run([*ENTRY, *words], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and "120 images" in ended.stdout
    whole = pack(phantom.source("whole", images=120, size=32), Store.at(tmp_path / "whole"))
    assert Corpus.open(str(tmp_path / "c")).info.version == whole.version


@pytest.mark.parametrize(
    "words", [["--help"], ["corpus", "build", "--help"], ["simulate-weak", "--help"], ["cam", "--help"]]
)
def test_help_needs_neither_torch_nor_ray(words: list[str]) -> None:
    heavy = "{'ray', 'torch', 'scipy', 'pandas', 'pyarrow'} & sys.modules.keys()"
    heavy = f"import atexit, sys; atexit.register(lambda: print({heavy})); "
    ended = subprocess.run(
        [sys.executable, "-c", heavy + ENTRY[-1], *words], capture_output=True, text=True, timeout=60
    )
    assert "Usage:" in ended.stdout
    assert ended.stdout.strip().endswith("set()")


def test_inspect_prints_and_draws(phantom_url: str, tmp_path: Path, scantseg: Scantseg) -> None:
    outcome = scantseg("corpus", "inspect", phantom_url, "--count", 3, "--out", tmp_path / "deeper/sheet.png")
    assert outcome.code == 0 and "microaneurysm" in outcome.out
    assert Image.open(tmp_path / "deeper/sheet.png").format == "PNG"
    assert (
        "layer 'round-1' of corpus 'phantom' is not there"
        in scantseg("corpus", "inspect", phantom_url, "--layer", "round-1").complaint
    )


def test_weak_masks_are_made_imported_and_looked_at(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    corpus, sheet = tmp_path / "c", tmp_path / "sheet.png"
    assert scantseg("corpus", "build", folder, corpus).code == 0
    weaken = [
        "simulate-weak",
        corpus,
        "--layer",
        "weak",
        *["--kind", "polygon", "--points", "6", "8", "--seed", "3"],
    ]
    for _ in range(2):
        assert f"layer: {corpus}/layers/weak (8 images, 0 quarantined)" in scantseg(*weaken).out
    assert (
        "layers/weak: holds a finished layer of another configuration" in scantseg(*weaken[:-1], 4).complaint
    )
    (folder / "masks/case-00.png").unlink()
    outcome = scantseg("import-masks", folder / "masks", corpus, "--layer", "drawn", "--kind", "noisy")
    assert f"layer: {corpus}/layers/drawn (11 images, 1 without a file, 0 quarantined)" in outcome.out
    assert outcome.err == ""
    assert scantseg("corpus", "inspect", corpus, "--layer", "drawn", "--out", sheet).code == 0
    assert Image.open(sheet).format == "PNG"


BAD_WEAK = {
    "unknown kind": (["simulate-weak", "{c}", "--kind", "bxo"], "key 'kind' is 'bxo'; did you mean 'box'?"),
    "option of another kind": (
        ["simulate-weak", "{c}", "--kind", "box", "--width", 4],
        "unknown key 'width'; known: error_budget, jitter, kind, mismatch_rate, seed, split",
    ),
    "range the wrong way": (
        ["simulate-weak", "{c}", "--kind", "erode", "--radius", 4, 2],
        "key 'radius' is (4, 2): the smaller number",
    ),
    "too wild a jitter": (
        ["simulate-weak", "{c}", "--kind", "box", "--jitter", 2],
        "key 'jitter' is 2.0: input should be less than",
    ),
    "no such corpus": (
        ["simulate-weak", "{c}/none", "--kind", "box"],
        "no corpus here; make one with `scantseg corpus build`",
    ),
    "unknown kind to import": (
        ["import-masks", "{f}", "{c}", "--kind", "pseudo"],
        "key 'kind' is 'pseudo': input should be 'box', 'polygon', 'scribble' or 'noisy'",
    ),
    "no file that fits": (
        ["import-masks", "{f}", "{c}", "--kind", "noisy"],
        "no picture of an image of corpus 'phantom'; expected ID.png",
    ),
}


@pytest.mark.parametrize("fault", BAD_WEAK)
def test_a_weak_layer_that_cannot_be_made_is_one_line(
    fault: str, phantom_url: str, folder: Path, scantseg: Scantseg
) -> None:
    words, message = BAD_WEAK[fault]
    placed = [str(word).format(c=phantom_url, f=folder) for word in words]
    assert message in scantseg(*placed, "--layer", "bad").complaint
    assert not Path(phantom_url, "layers", "bad").exists()
