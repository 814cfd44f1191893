"""Reinforcement learning with verifiable rewards for large multimodal models on Megatron-Core, vLLM and Ray."""
