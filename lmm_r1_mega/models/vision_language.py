"""A megatron.core GPTModel on packed micro-batches, with the vision encoder of transformers in front of it if the family has one."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region, scatter_to_sequence_parallel_region
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from lmm_r1_mega.data.images.patches import PixelScale
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.models.attention import describe_packing
from lmm_r1_mega.models.device import training_device
from lmm_r1_mega.models.specs import decoder_spec
from lmm_r1_mega.schema import PackedBatch, PromptImages


class VisionLanguageModel(GPTModel):
    """One pipeline stage of a model; the first also holds the vision encoder, whole on every tensor-parallel rank."""

    def __init__(self, config: TransformerConfig, shape: ModelShape, *, padded_vocab: int, tied: bool) -> None:
        super().__init__(
            config=config,
            transformer_layer_spec=decoder_spec(config),
            vocab_size=padded_vocab,
            max_sequence_length=shape.max_positions,
            pre_process=parallel_state.is_pipeline_first_stage(),
            post_process=parallel_state.is_pipeline_last_stage(),
            share_embeddings_and_output_weights=tied,
            position_embedding_type="mrope",
            rotary_base=shape.rope_theta,
            scatter_embedding_sequence_parallel=False,  # image features take their positions in the whole microbatch first
        )
        self.shape = shape
        if self.post_process:
            self.output_layer.sequence_parallel = False  # it gets whole microbatches, cut down to what is read of them
            self.decoder.register_forward_hook(lambda _decoder, _inputs, hidden: self._at_loss_positions(hidden))

    def attach_tower(self, tower: torch.nn.Module, pixel_scale: PixelScale) -> None:
        """Give the first stage its vision tower and what makes the tower's numbers out of an image's bytes.

        Every tensor rank works out the same gradients for it; their mean keeps the copies equal where kernels do not repeat
        bit for bit.
        """
        for parameter in tower.parameters():
            parameter.average_gradients_across_tp_domain = True
        self.visual, self._pixel_scale = tower, pixel_scale

    def forward(self, microbatch: PackedBatch) -> Tensor:
        """Hidden states [tokens / tp, 1, hidden] for the next stage; from the last one logits [positions, padded_vocab / tp] at the
        loss positions of the microbatch, or values [positions] where the output layer is a value head."""
        device = training_device()
        self._loss_positions = microbatch.loss_mask.nonzero()[:, 0].to(device)
        embedded = self._embed(microbatch, device) if self.pre_process else None
        output = super().forward(
            input_ids=None,
            position_ids=microbatch.position_ids.expand(3, -1)[:, None].to(device),  # text has one axis: three equal ones
            attention_mask=None,
            decoder_input=embedded,
            packed_seq_params=describe_packing(microbatch.sequence_starts, microbatch.borrowed, device),
        )
        return output[0].squeeze(-1) if self.post_process else output

    def _embed(self, microbatch: PackedBatch, device: torch.device) -> Float[Tensor, "tokens 1 hidden"]:
        """Word embeddings of the whole micro-batch with image features at the image tokens; scattered under sequence parallelism."""
        ids = microbatch.input_ids.to(device)
        embedded = self.embedding(input_ids=ids[None], position_ids=None)[:, 0]
        if microbatch.images is None or microbatch.image_features is None:
            embedded = embedded if self.shape.vision is None else self._touch_tower(embedded)
        else:
            positions = (ids == self.shape.image_token_id).nonzero()[:, 0]
            embedded = self._place_images(embedded, positions, vision=microbatch.images, chosen=microbatch.image_features.to(device))
        embedded = embedded[:, None]
        if self.config.sequence_parallel:
            embedded = scatter_to_sequence_parallel_region(embedded)
        if torch.is_grad_enabled() and not embedded.requires_grad:
            embedded.requires_grad_()  # with embedding and tower frozen, recomputed layers would give no gradients
        return embedded

    def _at_loss_positions(self, hidden: Float[Tensor, "own_tokens 1 hidden"]) -> Float[Tensor, "positions 1 hidden"]:
        """What the output layer reads: logits of a prompt would be as large as those of its response, and nobody wants them.

        Every tensor rank goes on with the same positions, and the layers behind sum the gradient, so backward slices without a sum.
        """
        if self.config.sequence_parallel:
            hidden = gather_from_sequence_parallel_region(hidden, tensor_parallel_output_grad=False)
        return hidden.index_select(0, self._loss_positions)

    def _place_images(
        self,
        embedded: Float[Tensor, "tokens hidden"],
        positions: Int[Tensor, "images"],
        *,
        vision: PromptImages,
        chosen: Int[Tensor, "images"],
    ) -> Float[Tensor, "tokens hidden"]:
        """The chosen features of the microbatch's images at its image tokens; the tower sees each distinct image once."""
        if len(positions) != len(chosen):
            raise ValueError(f"a microbatch has {len(positions)} image tokens for {len(chosen)} image features: its ids and grids disagree")
        pixels = self._pixel_scale.pixel_values(vision.patches.to(embedded.device)).to(self.config.params_dtype)
        features = self.visual(pixels, grid_thw=vision.grid_thw.to(embedded.device)).pooler_output
        return embedded.index_copy(0, positions, features.index_select(0, chosen).to(embedded.dtype))

    def _touch_tower(self, embedded: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens hidden"]:
        """Give a trainable tower zero gradients in a micro-batch without images, so that every rank has the same set of gradients."""
        trainable = [parameter for parameter in self.visual.parameters() if parameter.requires_grad]
        if not (trainable and torch.is_grad_enabled()):
            return embedded
        zero = sum(parameter.flatten()[0] for parameter in trainable) * 0
        return embedded + zero.to(embedded.dtype)
