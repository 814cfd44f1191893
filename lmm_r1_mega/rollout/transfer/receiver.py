"""The vLLM side of the `shm` weight transfer; vLLM makes one in every worker process (written against vLLM 0.32)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm.distributed.weight_transfer.base import WeightTransferEngine, WeightTransferInitInfo, WeightTransferUpdateInfo
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

from lmm_r1_mega.convert.hf_folder import HFReader
from lmm_r1_mega.rollout.transfer.bucket import Attached, Bucket
from lmm_r1_mega.rollout.transfer.client import WeightSyncError
from lmm_r1_mega.rollout.transfer.received import ReceivedTensors


@dataclass
class NothingToAgree(WeightTransferInitInfo):
    """What is to come is read from the model's own folder."""


@dataclass
class BucketInfo(WeightTransferUpdateInfo):
    """`Bucket.to_dict()`."""

    path: str
    inode: int
    size: int
    entries: list[dict[str, Any]]


class SharedMemoryReceiver(WeightTransferEngine[NothingToAgree, BucketInfo]):
    """Loads buckets from the trainer's memory through vLLM's layerwise reload, which undoes and redoes its weight packing."""

    init_info_cls = NothingToAgree
    update_info_cls = BucketInfo

    _shapes: dict[str, tuple[int, ...]] | None = None
    _ledger: ReceivedTensors | None = None

    def init_transfer_engine(self, init_info: NothingToAgree) -> None:
        with HFReader(Path(self.model_config.model)) as folder:
            self._shapes = folder.contents.shapes()
        self._attached: dict[tuple[str, int], Attached] = {}

    def start_weight_update(self) -> None:
        if self._shapes is None:
            raise WeightSyncError("start_weight_update before init_weight_transfer_engine: call that first")
        self._forget_unfinished_update()
        initialize_layerwise_reload(self.model)
        self._ledger = ReceivedTensors(self._shapes)

    def receive_weights(self, update_info: BucketInfo) -> None:
        if self._ledger is None:
            raise WeightSyncError("a bucket came without start_weight_update: start the update again")
        bucket = Bucket.from_dict(vars(update_info))
        for entry in bucket.entries:
            self._ledger.enter(entry)
        attached = self._attach(bucket)
        self.model.load_weights((entry.name, attached.tensor(entry)) for entry in bucket.entries)
        self._keep_pending_tensors()

    def finish_weight_update(self) -> None:
        if self._ledger is None:
            raise WeightSyncError("finish_weight_update without start_weight_update: start the update again")
        self._ledger.close()
        finalize_layerwise_reload(self.model, self.model_config)
        self._pack_tied_heads()
        self._ledger = None
        self._attached.clear()

    def shutdown(self) -> None:
        self._attached = {}

    def _attach(self, bucket: Bucket) -> Attached:
        key = (bucket.path, bucket.inode)
        if key not in self._attached:
            self._attached[key] = Attached(bucket)
        return self._attached[key]

    def _pack_tied_heads(self) -> None:
        """On a CPU a head that is tied to the embedding multiplies with a packed copy, which vLLM's reload leaves as it was."""
        for layer in self.model.modules():
            if isinstance(layer, ParallelLMHead):
                layer.quant_method.process_weights_after_loading(layer)

    def _keep_pending_tensors(self) -> None:
        """vLLM holds on to tensors of layers that are not complete yet; the trainer will overwrite the memory they lie in."""
        for layer in self.model.modules():
            for _, call in get_layerwise_info(layer).loaded_weights:
                call.arguments["loaded_weight"] = call.arguments["loaded_weight"].clone()

    def _forget_unfinished_update(self) -> None:
        """vLLM would count the tensors of an update that died as already come."""
        for layer in self.model.modules():
            info = get_layerwise_info(layer)
            info.loaded_weights.clear()
            info.load_numel = 0
