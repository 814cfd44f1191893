import re

from lmm_r1_mega.migration.flags import FLAGS
from tools.write_migration_page import PAGE, render


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == render(), "run python tools/write_migration_page.py"


def test_every_flag_has_one_line_with_its_settings_or_its_reason():
    lines = dict(re.findall(r"^\| `--(\w+)` \|.*\| ([^|]+) \|$", render(), flags=re.MULTILINE))
    assert list(lines) == list(FLAGS)
    for name, flag in FLAGS.items():
        assert re.findall(r"`([a-z0-9_.]+)`", lines[name]) == list(flag.settings) if flag.settings else flag.reason in lines[name]
