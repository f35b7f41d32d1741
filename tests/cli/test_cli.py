"""The command line as a user meets it: what goes wrong is one line and exit code 1, and nothing is lost."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from framework.cli import main as cli
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.sources import phantom
from framework.corpus.writer import pack
from tests.cli.support import Scantseg

ENTRY = [sys.executable, "-c", "from framework.cli.main import main; main()"]


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
    "other storage": (["corpus.path=az://bucket/c"], "'az://bucket/c': storage 'az://' is not known"),
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
    assert err.strip() == f"interrupted; to continue: {shlex.join(['python', *ENTRY[1:], *words])}"
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
    assert scantseg("corpus", "inspect", corpus, "--out", tmp_path / "without.png").code == 0
    assert Image.open(sheet).tobytes() != Image.open(tmp_path / "without.png").tobytes()


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
