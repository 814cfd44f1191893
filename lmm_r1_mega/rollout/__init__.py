"""Generation with vLLM and the way of new weights into it. The only owner of `vllm`."""
