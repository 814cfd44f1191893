"""tools/logprobs.py against transformers, through the data reader and over two ranks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from tools.make_tiny_model import TinyShape, make_tiny_model

TOOL = Path(__file__).parents[2] / "tools" / "logprobs.py"


IMAGES = [[], [0], [1, 2]]
"""Of each row, by file name."""


def write_rows(folder: Path) -> None:
    """A text row, a row with an image and a row with two."""
    for index, (width, height) in enumerate([(56, 84), (112, 56), (84, 84)]):
        noise = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)
        Image.fromarray(noise.numpy()).save(folder / f"{index}.png")
    lines = []
    for found in IMAGES:
        question = [*({"type": "image", "image": f"{i}.png"} for i in found), {"type": "text", "text": "How many?"}]
        answer = f"<answer> {len(found)} circles </answer>"
        lines.append(json.dumps({"message": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}))
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def transformers_logprobs(model: Path, rows: list[dict], images: Path) -> list[torch.Tensor]:
    """Log-probability of every response token, each row alone, its images read by transformers' own processor."""
    make_torchvision_importable()
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    policy = Qwen2_5_VLForConditionalGeneration.from_pretrained(model, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(model)
    results = []
    for row, found in zip(rows, IMAGES, strict=True):
        ids = torch.tensor([row["token_ids"]])
        inputs = {}
        if found:
            inputs = dict(processor.image_processor([Image.open(images / f"{i}.png") for i in found], return_tensors="pt"))
            inputs["mm_token_type_ids"] = (ids == policy.config.image_token_id).int()
        with torch.no_grad():
            scores = policy(input_ids=ids, **inputs).logits[0, :-1].log_softmax(dim=1)
        results.append(scores.gather(1, ids[0, 1:, None])[row["response_start"] - 1 :, 0])
    return results


def test_equals_transformers(tmp_path: Path) -> None:
    model = tmp_path / "model"
    make_tiny_model(model, TinyShape(layers=2, vocab=500, kv=2, vision_depth=2, vision_hidden=64, init_range=0.06))
    write_rows(tmp_path)
    command = [sys.executable, TOOL, model, tmp_path / "rows.jsonl", "--tp", "2", "--out", tmp_path / "out.jsonl"]
    subprocess.run([str(part) for part in command], check=True, timeout=240, capture_output=True)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = transformers_logprobs(model, rows, tmp_path)
    assert len(rows) == 3
    for row, logprobs in zip(rows, expected, strict=True):
        assert len(row["logprobs"]) == len(row["token_ids"]) - row["response_start"] == len(logprobs) > 3
        torch.testing.assert_close(torch.tensor(row["logprobs"]), logprobs, rtol=0, atol=1e-4)


def test_a_layout_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    make_tiny_model(model, TinyShape(layers=2, vocab=500, kv=2, vision_depth=2, vision_hidden=64))
    write_rows(tmp_path)
    command = [sys.executable, TOOL, model, tmp_path / "rows.jsonl", "--tp", "4", "--pp", "3", "--out", tmp_path / "out.jsonl"]
    refused = subprocess.run([str(part) for part in command], timeout=240, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "layout.tensor 4" in refused.stderr and "layout.pipeline 3" in refused.stderr
    assert "Traceback" not in refused.stderr
