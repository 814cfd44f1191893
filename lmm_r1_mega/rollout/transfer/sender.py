"""The trainer's side of weight updates."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

from torch import Tensor

from lmm_r1_mega.rollout.transfer.bucket import Segment
from lmm_r1_mega.rollout.transfer.client import Export, SyncClient, SyncDeadlineError

LARGEST_BUCKET_BYTES = 64 * 2**20  # two of them stay mapped and warm; larger ones would only touch more fresh pages


class WeightSender(Protocol):
    """Gives the rollout engines new weights; every rank of the trainer holds one and makes the same calls."""

    def send(self, version: int) -> None:
        """Send the weights as they are; the engines serve them under this version when it returns.

        Raises `WeightSyncError`, or the client's own error, when an engine refuses, dies or does not answer; the engines that
        live then serve nothing until a complete update.
        """

    def close(self) -> None:
        """Give back memory and connections."""


class Follower:
    """A rank that only takes part in the collective export."""

    def __init__(self, export: Export) -> None:
        self._export = export

    def send(self, version: int) -> None:
        for _ in self._export():
            pass

    def close(self) -> None:
        pass


class SharedMemorySender:
    """Copies the weights into two segments in turn: one is filled while the engines load the other."""

    def __init__(self, export: Export, client: SyncClient, *, bucket_bytes: int, digests: bool = True, deadline_s: float) -> None:
        """A tensor larger than `bucket_bytes` gets a segment of its own size until the update ends. `deadline_s` bounds every call to
        the engines."""
        self._export = export
        self._client = client
        self._bucket_bytes = bucket_bytes
        self._digests = digests
        self._deadline_s = deadline_s
        self._filling, self._loading = Segment(bucket_bytes), Segment(bucket_bytes)
        self._call: _TransferCall | None = None

    def send(self, version: int) -> None:
        """See `WeightSender.send`."""
        tensors = iter(self._export())
        try:
            self._do("init_weight_transfer_engine", {})
            self._do("start_weight_update")
            for name, tensor in tensors:
                self._put(name, tensor)
            self._send_bucket()
            self._wait()
            self._do("finish_weight_update", version)
            self._filling, self._loading = (self._of_usual_size(segment) for segment in (self._filling, self._loading))
        except BaseException:
            self._start_afresh()
            raise
        finally:
            for _ in tensors:  # after an error the other ranks are still inside the collective export
                pass

    def close(self) -> None:
        self._filling.close()
        self._loading.close()

    def _start_afresh(self) -> None:
        """An engine may still read what was sent: leave it that memory."""
        self.close()
        self._filling, self._loading = Segment(self._bucket_bytes), Segment(self._bucket_bytes)
        self._call = None

    def _of_usual_size(self, segment: Segment) -> Segment:
        """Gives back what one large tensor needed, an embedding as a rule: half a gigabyte that nobody uses until the next update."""
        if segment.size <= self._bucket_bytes:
            return segment
        segment.close()
        return Segment(self._bucket_bytes)

    def _put(self, name: str, tensor: Tensor) -> None:
        if not self._filling.has_room(tensor):
            self._send_bucket()
        if not self._filling.has_room(tensor):
            self._filling.close()
            self._filling = Segment(tensor.nbytes)
        self._filling.put(name, tensor, with_digest=self._digests)

    def _send_bucket(self) -> None:
        if self._filling.is_empty:
            return
        bucket = self._filling.take()
        self._wait()  # from here on the engines have let go of the other segment
        self._begin("update_weights", bucket.to_dict())
        self._filling, self._loading = self._loading, self._filling

    def _do(self, method: _Method, *arguments: object) -> None:
        self._begin(method, *arguments)
        self._wait()

    def _begin(self, method: _Method, *arguments: object) -> None:
        self._call = _TransferCall(method, partial(getattr(self._client, method), *arguments))

    def _wait(self) -> None:
        if self._call is not None:
            call, self._call = self._call, None
            call.wait(self._deadline_s)


_Method = Literal["init_weight_transfer_engine", "start_weight_update", "update_weights", "finish_weight_update"]


class _TransferCall:
    """A call on a thread of its own, so that a bucket can be filled meanwhile and a dead engine cannot hang the trainer."""

    def __init__(self, name: str, function: Callable[[], None]) -> None:
        self._name = name
        self._outcome: queue.Queue[BaseException | None] = queue.Queue()
        threading.Thread(target=self._run, args=(function,), name=name, daemon=True).start()

    def wait(self, deadline_s: float) -> None:
        try:
            error = self._outcome.get(timeout=deadline_s)
        except queue.Empty:
            raise SyncDeadlineError(f"a rollout engine did not answer {self._name} within {deadline_s:g} s: see its log") from None
        if error is not None:
            raise error

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # handed to the thread that waits
            self._outcome.put(error)
        else:
            self._outcome.put(None)
