"""The finished models that a run starts from."""

from typing import Any

from framework.core.artifact import input_of, read_file, read_part
from framework.core.config_files import parse
from framework.core.errors import ConfigError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.schema import ModelInfo
from framework.methods.base import Method, PretrainedModel
from framework.training.checkpoint import Tensors, decode_tensors
from framework.training.config import TrainConfig


def run_of(store: Store) -> TrainConfig:
    """The description of a finished model; raises `CorpusError` when none is there."""
    input_of(store, "model")
    return parse(read_part(store, "config.yaml", dict[str, Any]), TrainConfig, f"{store.url}/config.yaml")


def weights_of(store: Store) -> Tensors:
    """The weights of a finished model; raises `StorageError` when they are not those that were written."""
    name = "model.safetensors"
    return decode_tensors(read_file(store, name), f"{store.url}/{name}")


def self_contained(run: TrainConfig) -> TrainConfig:
    """The same without pretrained encoders, whose weights the finished model's replace."""
    return parse(_without_pretrained(run.model_dump(mode="json")), TrainConfig)


def _without_pretrained(value: dict[str, Any]) -> dict[str, Any]:
    parts = {k: _without_pretrained(part) if isinstance(part, dict) else part for k, part in value.items()}
    return parts | {"pretrained": False} if parts.get("pretrained") is True else parts


def load_pretrained_models(method: Method, run: TrainConfig, corpus: Corpus) -> None:
    """Give the method the finished models that it starts from; errors name one that is missing or unfit."""
    for role, url in run.models.items():
        store = Store.at(url)
        config, info = run_of(store).method, read_part(store, "model.json", ModelInfo)
        _require_unseen(role, store, corpus)
        state = weights_of(store)
        try:
            method.load_pretrained(role, PretrainedModel(state, info.classes, config))
        except RuntimeError:
            fault = f"models.{role}: {store.url} has another network than this run"
            mend = "give both the same 'network', classes and sizes under 'method'"
            raise ConfigError(f"{fault}; {mend}") from None


def _require_unseen(role: str, model: Store, corpus: Corpus) -> None:
    """Raise `ConfigError` where a model was trained on an image, by its pixels, that this corpus keeps for
    measuring (methods/README 3.7)."""
    trained = set(read_part(model, "trained_image_hashes.json", list[str]))
    if seen := [name for name in corpus.ids_in("val", "test") if corpus.value(name, "hash") in trained]:
        fault = f"{model.url} has learnt from image '{seen[0]}', which corpus '{corpus.info.name}' keeps"
        mend = "train it on this corpus, or on one with the same splits"
        raise ConfigError(f"models.{role}: {fault} for measuring; {mend}")
