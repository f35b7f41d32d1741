"""What a team does on a cluster, and what goes wrong meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from framework.core.callbacks import Log
from framework.core.storage import Store
from tests.cluster.hosts.team import STORAGE, Job, Team

STEPS = 120
RUN = {
    "corpus": {"path": "corpora/phantom", "size": 64, "budget": {"share": 0.5}},
    "network": {"name": "unet", "widths": [8, 16]},
    "train": {"steps": STEPS, "batch": 8, "validate_every": 60, "checkpoint_every": 10, "precision": "fp32"},
}
SPREAD = {"workers": 2, "placement": "STRICT_SPREAD", "max_failures": 5, "timeout_s": 30}
"""A worker on each host."""


@dataclass(frozen=True)
class Outcome:
    """What became of a story: hosts and cables that it lost, and rows that were lost or made twice."""

    what: str
    kills: int = 0
    lost: int = 0
    doubled: int = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.kills, self.lost, self.doubled


def launch(team: Team, log: Log) -> None:
    """`ray up`, until all hosts are there; a corpus in the bucket, and a doctor who finds nothing."""
    begun = time.monotonic()
    team.must(team.run("ray", "up", "-y", "--no-config-cache", str(team.cluster)))
    head = time.monotonic() - begun
    until(lambda: alive(team) == team.hosts.count, "all hosts are in the cluster")
    log(f"ray up: head after {head:.0f} s, all hosts after {time.monotonic() - begun:.0f} s")
    corpus = f"--out={STORAGE}/corpora/phantom"
    team.must(team.scantseg("corpus", "phantom", "--images=300", "--size=64", corpus))
    log(team.submit("doctor", "--storage", STORAGE).end())


def alive(team: Team) -> int:
    """Hosts that the cluster has now."""
    code = "import ray; ray.init(log_to_driver=False); print('alive', sum(n['Alive'] for n in ray.nodes()))"
    said = on_head(team, f'python -c "{code}"')
    return int(said.rpartition("alive ")[2] or 0) if "alive" in said else 0


def on_head(team: Team, command: str) -> str:
    environment = "PATH=~/scantseg-environment/bin:$PATH RAY_AUTH_MODE=token RAY_ADDRESS=127.0.0.1:6379"
    return team.hosts.ssh(1, f"{environment} {command}").stdout


def until(happened: Callable[[], bool], what: str, timeout: float = 300) -> None:
    end = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < end, f"did not happen in {timeout:.0f} s: {what}"
        time.sleep(1)


def steps(team: Team, name: str) -> int:
    """The step of the newest checkpoint of a run."""
    names = (team.store / f"runs/{name}/checkpoints").names("step-")
    return max((int(each.removeprefix("step-")) for each in names), default=0)


def train(team: Team, name: str, strategy: str) -> Job:
    compute = SPREAD | {"strategy": {"name": strategy}}
    team.write(f"configs/{name}.yaml", {"name": name, **RUN, "compute": compute})
    return team.submit("train", f"configs/{name}.yaml")


def loses_a_host(team: Team) -> None:
    """Host 2 dies at once, and comes back a little later."""
    team.hosts.kill(2)
    time.sleep(5)
    team.hosts.start(2)


def same_bits(team: Team, name: str, other: str) -> bool:
    models = [(team.store / f"runs/{each}").read_bytes("model.safetensors") for each in (name, other)]
    return models[0] == models[1]


def undisturbed(team: Team) -> Outcome:
    """DDP over two hosts: what the others are held against, and a second job on a warm cluster."""
    job = train(team, "calm", "ddp")
    first = job.until(lambda: steps(team, "calm") > 0)
    job.end()
    return Outcome(f"DDP on two hosts; {first:.0f} s from submit to the first checkpoint")


def killed(team: Team) -> Outcome:
    """DDP, and a host dies in the middle."""
    job = train(team, "killed", "ddp")
    job.until(lambda: steps(team, "killed") >= 20)
    loses_a_host(team)
    said = job.end()
    assert "lost" in said, said
    assert same_bits(team, "killed", "calm"), "the model is another one after a host was lost"
    return Outcome("DDP, one host killed: went on, the model is equal bit by bit", kills=1)


def cut_off(team: Team) -> Outcome:
    """DeepSpeed, and a cable is cut and mended."""
    job = train(team, "cut", "deepspeed")
    job.until(lambda: steps(team, "cut") >= 20)
    team.hosts.cut(2)
    time.sleep(20)
    team.hosts.mend(2)
    job.end()
    return Outcome("DeepSpeed, a cable cut for 20 s and mended: went on", kills=1)


def labels(team: Team) -> Outcome:
    """Pseudo-labels, and a host dies in the middle: every image is there once."""
    until(lambda: alive(team) == team.hosts.count, "all hosts are in the cluster")
    layer = team.store / "corpora/phantom/layers/pseudo"
    job = team.submit("pseudolabel", "runs/calm", "corpora/phantom", "--layer=pseudo", retry=1)
    job.until(lambda: bool(layer.names("rows-")))
    loses_a_host(team)
    job.end()
    rows = Counter(rows_of(layer))
    labelled = set((team.store / "runs/calm").read_json("labelled.json"))
    wanted = set(train_ids(team)) - labelled
    return Outcome(
        f"pseudo-labels of {len(wanted)} images, one host killed",
        kills=1,
        lost=len(wanted - rows.keys()),
        doubled=sum(count - 1 for count in rows.values()),
    )


def rows_of(layer: Store) -> list[str]:
    parts = [name for name in layer.names("rows-") if name.endswith(".parquet")]
    return [name for part in parts for name in layer.read_table(part, ["id"])["id"].to_pylist()]


def train_ids(team: Team) -> list[str]:
    from framework.corpus.reader import Corpus

    return Corpus.open(f"{STORAGE}/corpora/phantom").ids("train")


def search(team: Team) -> Outcome:
    """A small study, and a host dies in the middle: no trial is lost."""
    until(lambda: alive(team) == team.hosts.count, "all hosts are in the cluster")
    described = {"name": "study", "run": RUN | {"compute": {"workers": 1}}, "trials": 4}
    team.write("configs/study.yaml", described | {"space": {"optimiser.lr": {"loguniform": [1e-4, 1e-2]}}})
    job = team.submit("tune", "configs/study.yaml", retry=2)
    study = team.store / "searches/study"
    job.until(lambda: any((study / name / "checkpoints").names() for name in study.folders()))
    loses_a_host(team)
    job.end()
    models = [store for store in study.holders("artifact.json") if store.exists("model.safetensors")]
    return Outcome(f"a study of 4 trials, one host killed: {len(models)} models", 1, lost=4 - len(models))


STORIES = (undisturbed, killed, cut_off, labels, search)
