"""The trainer's side of a weight update."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor

from lmm_r1_mega.config import RolloutSettings
from lmm_r1_mega.rollout.environment import has_gpu
from lmm_r1_mega.rollout.transfer.bucket import Segment
from lmm_r1_mega.rollout.transfer.client import SyncClient, SyncDeadlineError

DEADLINE_S = 600.0
LARGEST_BUCKET_BYTES = 64 * 2**20  # two of them stay mapped and warm; larger ones only touch more fresh pages

NamedTensors = Iterable[tuple[str, Tensor]]


def send_weights(stream: NamedTensors, client: SyncClient, *, settings: RolloutSettings, version: int, rank: int) -> None:
    """Give the engines a complete set of weights under Hugging Face names; collective over the trainer's ranks.

    Every rank iterates the stream, rank 0 sends it. Raises `WeightSyncError` when an engine refuses or does not answer; the
    engines then serve nothing until a complete update.
    """
    if rank != 0:
        for _ in stream:
            pass
        return
    verify = settings.verify_weights == "always" or (settings.verify_weights == "auto" and not has_gpu())
    bucket_bytes = min(settings.bucket_mib * 2**20, LARGEST_BUCKET_BYTES)
    send_through_shared_memory(stream, client, bucket_bytes=bucket_bytes, version=version, digests=verify)


def send_through_shared_memory(
    stream: NamedTensors, client: SyncClient, *, bucket_bytes: int, version: int, digests: bool = True, deadline_s: float = DEADLINE_S
) -> None:
    """Copy the stream into two segments in turn: one is filled while the engines load the other.

    A tensor larger than `bucket_bytes` gets a segment of its own size. `deadline_s` bounds every call.
    """
    tensors = iter(stream)
    sender = _Sender(client, bucket_bytes=bucket_bytes, digests=digests, deadline_s=deadline_s)
    try:
        sender.call("init_weight_transfer_engine", {})
        sender.call("start_weight_update")
        for name, tensor in tensors:
            sender.put(name, tensor)
        sender.flush()
        sender.call("finish_weight_update", version)
    finally:
        sender.close()
        for _ in tensors:  # after an error here the other ranks are still inside the collective export
            pass


class _Sender:
    """Two segments and the one call that is under way."""

    def __init__(self, client: SyncClient, *, bucket_bytes: int, digests: bool, deadline_s: float) -> None:
        self._client = client
        self._digests = digests
        self._deadline_s = deadline_s
        self._filling, self._loading = Segment(bucket_bytes), Segment(bucket_bytes)
        self._call: _Call | None = None

    def put(self, name: str, tensor: Tensor) -> None:
        if not self._filling.has_room(tensor):
            self._send_bucket()
        if not self._filling.has_room(tensor):
            self._filling.close()
            self._filling = Segment(tensor.nbytes)
        self._filling.put(name, tensor, with_digest=self._digests)

    def flush(self) -> None:
        """Send what is left."""
        self._send_bucket()
        self._wait()

    def call(self, method: str, *arguments: object) -> None:
        self._begin(method, *arguments)
        self._wait()

    def close(self) -> None:
        self._filling.close()
        self._loading.close()

    def _send_bucket(self) -> None:
        if self._filling.is_empty:
            return
        bucket = self._filling.take()
        self._wait()  # from here on the engines have let go of the other segment
        self._begin("update_weights", bucket.to_dict())
        self._filling, self._loading = self._loading, self._filling

    def _begin(self, method: str, *arguments: object) -> None:
        self._call = _Call(method, partial(getattr(self._client, method), *arguments))

    def _wait(self) -> None:
        if self._call is not None:
            call, self._call = self._call, None
            call.wait(self._deadline_s)


class _Call:
    """A call on a thread of its own, so that a bucket can be filled meanwhile and a dead engine cannot hang the trainer."""

    def __init__(self, name: str, function: Callable[[], None]) -> None:
        self._name = name
        self._outcome: queue.Queue[BaseException | None] = queue.Queue()
        threading.Thread(target=self._run, args=(function,), name=name, daemon=True).start()

    def wait(self, deadline_s: float) -> None:
        try:
            error = self._outcome.get(timeout=deadline_s)
        except queue.Empty:
            raise SyncDeadlineError(f"no rollout engine answered {self._name} within {deadline_s:g} s: see the engines' logs") from None
        if error is not None:
            raise error

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # handed to the thread that waits
            self._outcome.put(error)
        else:
            self._outcome.put(None)
