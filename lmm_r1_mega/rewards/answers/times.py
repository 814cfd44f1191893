"""Clock times and dates: their numbers are compared, never calculated with."""

from __future__ import annotations

import re

from lmm_r1_mega.rewards.answers.kinds import ClockTime, Date

CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\s*([ap]m))?|(\d{1,2})\s*([ap]m)")
CHINESE_CLOCK = re.compile(
    "(?:(\u4e0a\u5348|\u51cc\u6668|\u65e9\u4e0a)|(\u4e0b\u5348|\u665a\u4e0a))?(\\d{1,2})(?:\u70b9(?:(\u534a)|\u6574|\u949f)?|[\u65f6\u70b9](\\d{1,2})\u5206?)"
)
DATE = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})|(\d{1,2})([-/.])(\d{1,2})\6(\d{2}|\d{4})")
CHINESE_DATE = re.compile("(\\d{4})\u5e74(\\d{1,2})\u6708(\\d{1,2})[\u65e5\u53f7]")
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
MONTH = rf"({'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in MONTHS)})\.?"
DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
MONTH_FIRST = re.compile(rf"{MONTH}\s+{DAY}(?:,?\s+(\d{{4}}))?", re.IGNORECASE)
DAY_FIRST = re.compile(rf"(?:the\s+)?{DAY}\s+(?:of\s+)?{MONTH}(?:,?\s+(\d{{4}}))?", re.IGNORECASE)


def clock_time(text: str) -> ClockTime | None:
    """`3:30 pm`, `7 o'clock`, `8\u65f630\u5206`; `10:20:30` without a leading 0 is a ratio."""
    text = re.sub(r"(?<=\d)\s*o'clock$", ":00", text.lower())
    if chinese := CHINESE_CLOCK.fullmatch(text):
        morning, afternoon, hour, half_past, minute = chinese.groups()
        half = "am" if morning else "pm" if afternoon and int(hour) <= 12 else ""
        text = f"{hour}:{'30' if half_past else (minute or '0').zfill(2)} {half}".strip()
    match = CLOCK.fullmatch(text)
    if not match:
        return None
    hours, minutes, seconds, half, hour, other_half = match.groups()
    is_ratio = seconds and not (minutes.startswith("0") or seconds.startswith("0") or half)
    is_clock = int(hours or hour) <= 24 and int(minutes or 0) < 60 and not is_ratio
    return ClockTime(hours or hour, minutes or "0", seconds or "", half or other_half or "") if is_clock else None


def calendar_date(text: str) -> Date | None:
    """`2022-05-01`, `5/1/2022`, `May 1, 2022`, `1st of May`."""
    if named := MONTH_FIRST.fullmatch(text) or DAY_FIRST.fullmatch(text):
        first, second, year = named.groups()
        month, day = (second, first) if first.isdigit() else (first, second)
        return Date((year or "", str([name[:3] for name in MONTHS].index(month[:3].lower()) + 1), str(int(day))))
    match = CHINESE_DATE.fullmatch(text) or DATE.fullmatch(text)
    if not match:
        return None
    first, second, third = (str(int(part)) for part in match.groups() if part and part.isdigit())
    return Date((first, second, third))


def same_time(gold: ClockTime, answer: ClockTime) -> bool:
    """`15:30` is `3:30 pm`; a gold answer without its half of the day is right by its digits."""
    if any(int(a or 0) != int(b or 0) for a, b in ((gold.minutes, answer.minutes), (gold.seconds, answer.seconds))):
        return False
    is_same_digit = not gold.half and int(gold.hours) == int(answer.hours)
    return is_same_digit or _hour(gold) == _hour(answer)


def _hour(clock: ClockTime) -> int:
    return int(clock.hours) % 12 + 12 * (clock.half == "pm") if clock.half else int(clock.hours)


def same_date(gold: Date, answer: Date) -> bool:
    """Number by number, or as one day if one says its year first or its month by name: `12/25/2020` is `2020-12-25`."""
    is_clear = any(not date.numbers[0] or len(date.numbers[0]) == 4 for date in (gold, answer))
    return gold.numbers == answer.numbers or (is_clear and _day(gold) == _day(answer))


def _day(date: Date) -> tuple[str, str, str]:
    """Year, month, day."""
    first, second, third = date.numbers
    is_clear = not first or len(first) == 4 or max(int(first), int(second)) <= 12
    return date.numbers if is_clear else (third, second, first) if int(first) > 12 else (third, first, second)
