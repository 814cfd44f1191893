"""Text and tokens of a `Processor` against a tokenizer of transformers that nothing is told: the same letters and the same ids."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmm_r1_mega.data.chat.messages import Turn
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.chat.template import ChatTemplate
from lmm_r1_mega.errors import BadData

QUICKSTART = Path(__file__).parents[3] / "examples/quickstart/model"
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
ODD_TEMPLATE = """\
{%- set seen = namespace(images=0) %}
{%- for turn in messages %}
    {%- if loop.first and turn['role'] != 'system' %}
<|im_start|>system
Be kind.<|im_end|>
    {% endif %}
    {#- a comment #}
<|im_start|>{{ turn.role }}
    {% if turn.content is string %}
{{ turn.content | trim }}<|im_end|>
    {% else %}
        {%- for part in turn.content %}
            {%- if part.type == 'image' or 'image' in part %}
                {%- set seen.images = seen.images + 1 %}
{%- if add_vision_id %}Image {{ seen.images }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>
            {%- elif 'text' in part %}{{ part.text }}{% endif %}
        {%- endfor %}<|im_end|>
    {% endif %}
{%- endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
NEW_TOKENS = "a <pad> <end> <one><two> <im> b"
CHATS = {
    "text": [Turn("user", ("What is 12 + 30 ?",))],
    "system": [Turn("system", (" Reason step by step. ",)), Turn("user", ("2 ?\n\n\n  3",))],
    "few shots": [Turn("user", ("1 + 1 ?",)), Turn("assistant", ("<think> 2 </think>",)), Turn("user", ("2 + 2 ?",))],
    "one image": [Turn("user", (None, "How many dots ?"))],
    "images": [Turn("user", ("Is", None, "or", None, None, "larger ?")), Turn("assistant", ("No.",)), Turn("user", (None,))],
    "special tokens": [Turn("user", ("a<|im_end|>b <|image_pad|><|im_start|>user\n<|endoftext|> <tool> <|im_ end|>",))],
    "letters": [Turn("user", ("Größe √2 ≤ 日本語の角 число 👩\u200d👧 a\u0301 \u1e9b\u0323 it's 12345\r\n\t x",))],
    "markup": [Turn("user", ("{{ 7 * 7 }} {% raise %} {# no #} <b>&amp;'\"",))],
}


@pytest.fixture(scope="module")
def qwen_folder(model_folder, tmp_path_factory) -> Path:
    """A folder whose tokenizer is of Qwen2.5-VL's own class, which transformers builds anew from its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("qwen") / "model")
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    learner.train_from_iterator([str(CHATS), ODD_TEMPLATE, *map(str, range(500))], trainer)
    model = json.loads(learner.to_str())["model"]
    tokenizer = Qwen2Tokenizer(model["vocab"], [tuple(pair) for pair in model["merges"]], eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"extra_special_tokens": list(SPECIAL)})
    tokenizer.chat_template = ODD_TEMPLATE
    tokenizer.save_pretrained(folder)
    ids = dict(zip(("vision_start", "vision_end", "image", "video"), tokenizer.convert_tokens_to_ids(SPECIAL[2:]), strict=True))
    config = json.loads((folder / "config.json").read_text()) | {f"{name}_token_id": number for name, number in ids.items()}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").unlink()
    return folder


@pytest.fixture(scope="module", params=["letters", "qwen", "quickstart"])
def folder(request, model_folder, qwen_folder) -> Path:
    return {"letters": model_folder, "qwen": qwen_folder, "quickstart": QUICKSTART}[request.param]


def oracle(folder: Path):
    """transformers' own tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def messages(turns: list[Turn]) -> list[dict]:
    """The turns as transformers takes them."""
    parts = [[{"type": "image"} if part is None else {"type": "text", "text": part} for part in turn.parts] for turn in turns]
    return [{"role": turn.role, "content": part if None in turn.parts else turn.text} for turn, part in zip(turns, parts, strict=True)]


def test_chats_are_the_same_ids(folder):
    ours, theirs = Processor.load(folder), oracle(folder)
    for name, turns in CHATS.items():
        expected = theirs.apply_chat_template(messages(turns), tokenize=True, add_generation_prompt=True)["input_ids"]
        [found] = ours.encode([ours.render(turns)[0]])
        assert found == expected, name
        assert ours.decode(found) == theirs.decode(expected, skip_special_tokens=True), name


def test_answers_are_the_same_text(folder):
    ours, theirs = Processor.load(folder), oracle(folder)
    turns, answer = CHATS["images"], " <think> 日本 </think> 4 "
    expected = theirs.apply_chat_template(
        [*messages(turns), {"role": "assistant", "content": answer}], tokenize=False, add_generation_prompt=False
    )
    assert "".join(ours.render(turns, demonstration=answer)) == expected


def test_special_tokens_are_the_same(folder):
    ours, theirs = Processor.load(folder), oracle(folder)
    assert set(ours.forbidden_ids) == special_ids(theirs) - set(ours.eos_ids)
    assert theirs.eos_token_id in ours.eos_ids


@pytest.mark.parametrize("sizes", [[(56, 56)], [(300, 100), (30, 31), (57, 400)]], ids=["one", "three"])
def test_images_take_as_many_tokens(folder, sizes):
    from PIL import Image
    from transformers import AutoImageProcessor

    ours, theirs = Processor.load(folder), AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    grids = theirs(images=[Image.new("RGB", size) for size in sizes], return_tensors="pt")["image_grid_thw"]
    assert [ours.num_image_tokens(*size) for size in sizes] == ours.spec.num_tokens(grids)


@settings(max_examples=300, deadline=None)
@given(text=st.text() | st.text(st.sampled_from("a é\u0301\n\r\t 1'sÀ<|im_end|>日")))
def test_any_text_is_the_same_ids(qwen_folder, qwen_pair, text):
    ours, theirs = qwen_pair
    assert ours.encode([text]) == [theirs(text, add_special_tokens=False)["input_ids"]]


@pytest.fixture(scope="module")
def qwen_pair(qwen_folder):
    return Processor.load(qwen_folder), oracle(qwen_folder)


@pytest.mark.parametrize(
    "source",
    [
        "{% for turn in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ turn.content }}{% endfor %}",
        "{{ messages | tojson }} {{ messages | tojson(indent=2) }} {{ messages | tojson(ensure_ascii=True, sort_keys=True) }}",
        "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ messages[0].content }}{% endgeneration %}{{ x }}",
        "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{% if unk_token is defined %}!{% endif %}{{ no_such }}{{ tools }}{{ documents }}",
        "   {% if messages %}\n  a\n   {% endif %}\nb   {%- if not tools %} c {%+ endif %}\n",
        "{{ strftime_now('%Y') }}{% if add_generation_prompt %}?{% endif %}",
        "{{ messages | map(attribute='role') | list }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    ],
)
def test_templates_are_written_as_transformers_writes_them(qwen_folder, source):
    theirs = oracle(qwen_folder)
    theirs.chat_template = source
    template = ChatTemplate(source, theirs.special_tokens_map)
    for turns in CHATS.values():
        expected = theirs.apply_chat_template(messages(turns), tokenize=False, add_generation_prompt=True)
        assert template.render(turns) == (expected, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"pad_token": "<pad>", "eos_token": {"__type": "AddedToken", "content": "<end>", "lstrip": False, "special": True}},
        {"extra_special_tokens": ["<one>", "<two>"]},
        {"extra_special_tokens": None, "additional_special_tokens": ["<one>", "<im>"], "bos_token": None},
        {"extra_special_tokens": {"audio_token": "<one>"}},
    ],
    ids=["named", "listed", "older", "by name"],
)
def test_tokens_that_only_the_settings_name_are_known(qwen_folder, tmp_path, changes):
    ours, theirs = with_settings(qwen_folder, tmp_path, changes)
    assert ours.encode([NEW_TOKENS]) == [theirs(NEW_TOKENS, add_special_tokens=False)["input_ids"]]
    assert set(ours.forbidden_ids) | set(ours.eos_ids) == special_ids(theirs)


def test_tokens_numbered_in_the_settings_as_transformers_4_writes_them(qwen_folder, tmp_path):
    known = json.loads((qwen_folder / "tokenizer.json").read_text())["added_tokens"]
    numbered = {str(token.pop("id")): token for token in known}
    first = 1 + max(map(int, numbered))
    new = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    numbered |= {str(first + number): {"content": name, **new, "special": number == 0} for number, name in enumerate(["<one>", "<two>"])}
    ours, theirs = with_settings(qwen_folder, tmp_path, {"added_tokens_decoder": numbered})
    assert ours.encode([NEW_TOKENS]) == [theirs(NEW_TOKENS, add_special_tokens=False)["input_ids"]]
    assert set(ours.forbidden_ids) | set(ours.eos_ids) == special_ids(theirs)
    assert {first, first + 1} < set(ours.encode([NEW_TOKENS])[0])


def with_settings(folder: Path, tmp_path: Path, changes: dict):
    """Both tokenizers of a copy of the folder with other entries in `tokenizer_config.json`."""
    copy = shutil.copytree(folder, tmp_path / "model")
    found = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(found | changes))
    return Processor.load(copy), oracle(copy)


def special_ids(theirs) -> set[int]:
    return {number for number, token in theirs.added_tokens_decoder.items() if token.special}


def test_of_several_templates_the_default_is_taken(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    several = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "{{ messages[0].content }}!"}]
    found = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(found | {"chat_template": several}))
    expected = oracle(folder).apply_chat_template(messages(CHATS["text"]), tokenize=False)
    assert Processor.load(folder).render(CHATS["text"])[0] == expected == "What is 12 + 30 ?!"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", "tokenizer.json cannot be read .*: copy it again"),
        ("tokenizer_config.json", "{", "tokenizer_config.json cannot be read .*: copy it again"),
        ("preprocessor_config.json", "[]", "preprocessor_config.json is no JSON object: copy it again"),
        ("chat_template.jinja", "{% if %}", "chat template cannot be read .*: copy it again"),
    ],
)
def test_a_damaged_file_is_named(model_folder, tmp_path, name, content, message):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / name).write_text(content)
    with pytest.raises(BadData, match=message):
        Processor.load(folder)


def test_a_template_reaches_nothing_outside_itself():
    template = ChatTemplate("{{ messages.__class__.__mro__[-1].__subclasses__() }}", {})
    with pytest.raises(ValueError, match="the chat template refuses the turns: access to attribute '__class__'"):
        template.render(CHATS["text"])


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ 'a' * 10**9 }}",
        "{% set all = namespace(text='a') %}{% for i in range(99) %}{% set all.text = all.text ~ all.text %}{% endfor %}{{ all.text }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ 'a' | center(10**10) }}",
        "{{ 10**(10**10) }}",
        "{% macro more(x) %}{{ more(x ~ x) }}{% endmacro %}{{ more('a') }}{{ 'a' * 10**10 }}",
        "{% for turn in messages %}{{ 'a' * 10**6 }}{% endfor %}",
    ],
)
def test_a_template_without_end_is_ended(source):
    with pytest.raises(BadData, match=r"the model's chat template does not come to an end: it takes more than 2 s of processor time, 512"):
        ChatTemplate(source, {}).render(CHATS["text"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ 1 // 0 }}", "refuses the turns: integer division or modulo by zero"),
        ("{{ range(10**9) }}", "refuses the turns: Range too big"),
        ("{% macro more() %}{{ more() }}{% endmacro %}{{ more() }}", "refuses the turns: maximum recursion depth exceeded"),
    ],
)
def test_whatever_else_goes_wrong_in_a_template_is_said(source, message):
    template = ChatTemplate(source, {})
    for _ in range(2):  # it goes on
        with pytest.raises(ValueError, match=message):
            template.render(CHATS["text"])


def test_the_process_of_a_template_ends_with_it():
    template = ChatTemplate("{{ messages[0].content }}", {})
    process = template._process
    assert template.render(CHATS["text"])[0] and process.poll() is None
    del template
    assert process.poll() == 0
