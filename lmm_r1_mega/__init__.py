"""Reinforcement learning with verifiable rewards for large multimodal models on Megatron-Core, vLLM and Ray."""

import warnings

# megatron.core says in six places that it does without Apex and Transformer Engine; `lmm-r1-mega doctor` says it once.
warnings.filterwarnings("ignore", message=".*(Apex|Transformer Engine).* not installed", category=UserWarning)
