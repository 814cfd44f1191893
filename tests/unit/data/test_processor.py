import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer

from lmm_r1_mega.data.chat.messages import Turn
from lmm_r1_mega.data.chat.processor import Processor, load_pixel_scale
from lmm_r1_mega.data.images.patches import as_pil_images, join_images

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def transformers_processor(model_folder):
    """transformers' own, whole processor: the oracle."""
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(model_folder)


def test_text_of_a_chat_by_its_template(processor):
    turns = [Turn("user", (None, "How many ?"))]
    text, rest = processor.render(turns)
    assert text == f"{SYSTEM}<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>How many ?<|im_end|>\n<|im_start|>assistant\n"
    assert rest == ""


def test_a_demonstration_continues_the_prompt(processor):
    turns = [Turn("system", ("Be brief.",)), Turn("user", ("2 ?",)), Turn("assistant", ("2",)), Turn("user", ("3 ?",))]
    prompt, rest = processor.render(turns, demonstration="<think> 3 </think>")
    assert prompt == processor.render(turns)[0]
    assert prompt.endswith("<|im_start|>user\n3 ?<|im_end|>\n<|im_start|>assistant\n")
    assert rest == "<think> 3 </think><|im_end|>\n"
    [ids] = processor.encode([rest])
    cut = processor.cut_after_eos(ids)
    assert cut == ids[:-1]
    assert cut[-1] == processor.eos_ids[0]
    assert processor.decode(cut) == "<think> 3 </think>"
    assert processor.cut_after_eos(ids[:3]) == []


@pytest.mark.parametrize("sizes", [[], [(56, 56)], [(300, 100), (30, 31), (57, 400)]], ids=["text", "one", "three"])
def test_ids_and_patches_equal_those_of_transformers(processor, transformers_processor, sizes):
    turns = [Turn("user", (*[None] * len(sizes), "Größe 1 ? <tool> 日本"))]
    images = [noise(*size) for size in sizes]
    text, _ = processor.render(turns)
    expected = transformers_processor(text=[text], images=images or None, return_tensors="pt")
    images = join_images([processor.prompt_images(image) for image in images])
    counts = [processor.num_image_tokens(*size) for size in sizes]
    assert list(processor.expand(processor.encode([text])[0], counts)) == expected["input_ids"][0].tolist()
    if images:
        assert torch.equal(processor.pixel_scale.pixel_values(images.patches), expected["pixel_values"])
        assert torch.equal(images.grid_thw, expected["image_grid_thw"])
        assert processor.spec.num_tokens(images.grid_thw) == counts


def test_texts_are_encoded_whole_whatever_the_folder_says(processor, model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    file = tmp_path / "model" / "tokenizer.json"
    cutting = {"max_length": 3, "direction": "Right", "strategy": "LongestFirst", "stride": 0}
    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"truncation": cutting, "padding": padding}))
    texts = ["one text<|im_end|>", "", "two"]
    assert Processor.load(tmp_path / "model").encode(texts) == processor.encode(texts)
    assert [len(ids) for ids in processor.encode(texts)] == [9, 0, 3]
    assert processor.encode([]) == []


def test_every_byte_becomes_the_number_that_transformers_makes_of_it(processor, transformers_processor):
    """All 256 bytes of each colour, the colours unlike one another."""
    ramp = np.arange(56 * 56 * 3).reshape(56, 56, 3) * 85 % 256
    image = Image.fromarray(ramp.astype(np.uint8))
    assert all(len(np.unique(ramp[..., colour])) == 256 for colour in range(3))
    expected = transformers_processor.image_processor([image], return_tensors="pt")["pixel_values"]
    assert torch.equal(processor.pixel_scale.pixel_values(processor.prompt_images(image).patches), expected)


def test_images_come_back_out_of_their_patches(processor):
    """Sizes that nothing resizes."""
    drawn = [noise(112, 56, seed=1), noise(28, 140, seed=2)]
    images = join_images([processor.prompt_images(image) for image in drawn])
    back = as_pil_images(images, merge_size=processor.spec.merge_size)
    assert [np.asarray(image).tolist() for image in back] == [np.asarray(image).tolist() for image in drawn]


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (4000, 30), (56, 56), (111, 113), (640, 480)])
def test_tokens_are_counted_without_decoding_and_do_not_depend_on_orientation(processor, size):
    images = processor.prompt_images(noise(*size))
    assert processor.spec.num_tokens(images.grid_thw) == [processor.num_image_tokens(*size)]
    assert processor.num_image_tokens(*size) == processor.num_image_tokens(*reversed(size))


def test_pixel_bounds_are_the_folders_or_the_settings(model_folder, processor):
    assert processor.image_settings == {"min_pixels": 56 * 56, "max_pixels": 112 * 112}
    bounded = Processor.load(model_folder, min_pixels=28 * 28, max_pixels=56 * 28)
    assert bounded.image_settings == {"min_pixels": 28 * 28, "max_pixels": 56 * 28}
    assert bounded.prompt_images(noise(200, 200)).grid_thw.tolist() == [[1, 2, 2]]
    assert bounded.num_image_tokens(200, 200) == 1
    with pytest.raises(ValueError, match=r"data.min_pixels 99999 is above data.max_pixels 12544"):
        Processor.load(model_folder, min_pixels=99999)


def test_a_shape_beyond_the_processors_ratio_is_refused(processor):
    with pytest.raises(ValueError, match="aspect ratio"):
        processor.num_image_tokens(1000, 4)


def test_tokens_that_end_and_tokens_that_must_not_appear(processor):
    names = ["<|im_end|>", "<|endoftext|>", "<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    ids = [encoded[0] for encoded in processor.encode(names)]
    assert set(processor.eos_ids) == set(ids[:2])
    assert processor.forbidden_ids == tuple(sorted(ids[2:]))
    assert all(processor.special_tokens.search(f"a{name}b") for name in names)
    assert not processor.special_tokens.search("<tool> <|im_end| > <image> im_end")


def test_image_tokens_and_images_must_agree(processor):
    image = processor.spec.image_token_id
    assert processor.expand([7, image, 8, image], [2, 1]) == (7, image, image, 8, image)
    with pytest.raises(ValueError, match="1 image tokens in the text for 2 images"):
        processor.expand([7, image], [1, 1])


def test_what_the_template_refuses_is_an_error(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('only one turn') }}")
    with pytest.raises(ValueError, match="the chat template refuses the turns: only one turn"):
        Processor.load(folder).render([Turn("user", ("x",))])
    (folder / "chat_template.jinja").write_text("{{ messages | length }}")
    with pytest.raises(ValueError, match="writes the prompt of an answered chat differently"):
        Processor.load(folder).render([Turn("user", ("x",))], demonstration="y")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "has no config.json: give a Hugging Face folder"),
        ("tokenizer.json", "has no tokenizer.json: copy it from the model's own folder"),
        ("preprocessor_config.json", "has no preprocessor_config.json: copy it"),
        ("chat_template.jinja", "a tokenizer without a chat template: add chat_template.jinja"),
    ],
)
def test_an_incomplete_folder_says_what_is_missing(model_folder, tmp_path, name, message):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / name).unlink()
    with pytest.raises(ValueError, match=message):
        Processor.load(folder)


def test_a_folder_as_save_pretrained_of_a_whole_processor_writes_it(transformers_processor, model_folder, processor, tmp_path):
    transformers_processor.save_pretrained(tmp_path)
    shutil.copy(model_folder / "config.json", tmp_path)
    again = Processor.load(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists()
    assert again.image_settings == processor.image_settings
    assert torch.equal(again.prompt_images(noise(70, 90)).patches, processor.prompt_images(noise(70, 90)).patches)
    assert again.pixel_scale == processor.pixel_scale == load_pixel_scale(tmp_path)


def test_the_template_that_transformers_4_wrote_for_the_processor_goes_first(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": "text only"}))
    assert Processor.load(folder).render([Turn("user", ("x",))])[0] == "text only"
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "{{ messages[0].content[0].type }}"}))
    assert Processor.load(folder).render([Turn("user", (None, "x"))])[0] == "image"
    (folder / "chat_template.jinja").write_text("transformers 5")
    assert Processor.load(folder).render([Turn("user", ("x",))])[0] == "transformers 5"


def test_whatever_a_folder_names_as_an_end_ends_a_response(model_folder, processor, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    [end], [pad] = processor.encode(["<|im_end|>", "<|endoftext|>"])
    (folder / "generation_config.json").unlink()
    assert Processor.load(folder).eos_ids == (end,)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": pad}))
    assert Processor.load(folder).eos_ids == (pad, end), "the template ends turns with it"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": 3}))
    found = Processor.load(folder)
    assert found.eos_ids == (pad, 3, end) and not set(found.forbidden_ids) & {pad, end}


def test_the_chat_templates_own_end_of_turn_is_one(model_folder, processor, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<|endoftext|>"}))
    [pad], [end] = processor.encode(["<|endoftext|>", "<|im_end|>"])
    for name in ("generation_config.json", "config.json"):
        declared = json.loads((folder / name).read_text())
        declared.get("text_config", {}).pop("eos_token_id", None)
        (folder / name).write_text(json.dumps(declared | {"eos_token_id": pad}))
    found = Processor.load(folder)
    assert found.eos_ids == (pad, end)
    assert found.cut_after_eos(found.encode([found.render([Turn("user", ("x",))], demonstration="y")[1]])[0])[-1] == end


def test_turns_that_end_with_no_token_of_their_own_are_refused(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    template = "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}STOP\n{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(ValueError, match=r"ends a turn with 'STOP\\n', in tokens \[\d.*: name the one that does as eos_token_id"):
        Processor.load(folder)
    [stop, *_] = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("STOP\n", add_special_tokens=False).ids
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [stop]}))
    assert stop in Processor.load(folder).eos_ids
    (folder / "chat_template.jinja").write_text(template.replace("STOP", ""))  # nothing is written: what the folder names has to do
    assert Processor.load(folder).eos_ids[0] == stop
