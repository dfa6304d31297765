"""Secrets and personal data in texts: what kind, never which."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from finetune_trainer.events import FlagKind


class Trace(NamedTuple):
    """Something that shouldn't be learnt."""

    text: int
    """Index of the text."""
    kind: FlagKind
    what: str


SECRETS: Final[Mapping[str, tuple[str, re.Pattern[str]]]] = {
    "AKIA": ("an AWS access key", re.compile(r"\bAKIA[0-9A-Z]{16}\b")),
    "ASIA": ("an AWS access key", re.compile(r"\bASIA[0-9A-Z]{16}\b")),
    "ghp_": ("a GitHub token", re.compile(r"\bghp_[A-Za-z0-9]{36}")),
    "gho_": ("a GitHub token", re.compile(r"\bgho_[A-Za-z0-9]{36}")),
    "ghs_": ("a GitHub token", re.compile(r"\bghs_[A-Za-z0-9]{36}")),
    "ghu_": ("a GitHub token", re.compile(r"\bghu_[A-Za-z0-9]{36}")),
    "github_pat_": ("a GitHub token", re.compile(r"\bgithub_pat_\w{22,}")),
    "glpat-": ("a GitLab token", re.compile(r"\bglpat-[\w-]{20,}")),
    "xox": ("a Slack token", re.compile(r"\bxox[abeoprs]-[\w-]{10,}")),
    "AIza": ("a Google API key", re.compile(r"\bAIza[\w-]{35}")),
    "sk-": ("an API key that begins with sk-", re.compile(r"\bsk-(?=[\w-]{0,99}\d)[\w-]{20,}")),
    "sk_live_": ("a Stripe key", re.compile(r"\bsk_live_[0-9A-Za-z]{16,}")),
    "rk_live_": ("a Stripe key", re.compile(r"\brk_live_[0-9A-Za-z]{16,}")),
    "hf_": ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    "npm_": ("an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}")),
    "SG.": ("a SendGrid key", re.compile(r"\bSG\.[\w-]{22}\.[\w-]{43}")),
    "eyJ": ("a JSON web token", re.compile(r"\beyJ[\w-]{10,200}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
    "PRIVATE KEY": ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")),
}
"""Patterns by a part of each that is quickly looked for. None looks far ahead for what may not be there: a row of
beginnings alone would take hours."""

RESERVED: Final = re.compile(r"(?:^|\.)example(?:\.(?:com|net|org))?$|\.(?:test|invalid|localhost)$")
"""Domains that nobody can have (RFC 2606): addresses of documentation."""

_LOCAL: Final = re.compile(r"[\w.+-]{1,64}$")
_DOMAIN: Final = re.compile(r"(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}")
_DIGITS: Final = re.compile(r"[0-9][0-9 ().-]{6,26}[0-9]")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_NATIONAL: Final = re.compile(r"\d{3}\)?[ .-]\d{3}[ .-]\d{4}")


def traces(texts: Sequence[str]) -> Iterator[Trace]:
    """What is found in each text, once a kind of thing."""
    # one text: a pattern is begun once for all of them
    whole = "\n".join(texts)
    starts: list[int] = []
    at = 0
    for text in texts:
        starts.append(at)
        at += len(text) + 1
    seen: set[Trace] = set()
    for look in _LOOKS:
        for position, kind, what in look(whole):
            trace = Trace(bisect_right(starts, position) - 1, kind, what)
            if trace not in seen:
                seen.add(trace)
                yield trace


def passes_luhn(digits: str) -> bool:
    """Whether the last digit checks the others, as a card number's does."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Whether the check digits of an account number are right."""
    compact = text.replace(" ", "")
    turned = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def _secrets(whole: str) -> Iterator[tuple[int, FlagKind, str]]:
    for part, (what, pattern) in SECRETS.items():
        if part in whole:
            for m in pattern.finditer(whole):
                yield m.start(), "secret", what


def _addresses(whole: str) -> Iterator[tuple[int, FlagKind, str]]:
    at = whole.find("@")
    while at >= 0:
        domain = _DOMAIN.match(whole, at + 1)
        if domain and not RESERVED.search(domain[0].lower()) and _LOCAL.search(whole[max(0, at - 64) : at]):
            yield at, "personal", "an e-mail address"
        at = whole.find("@", at + 1)


def _numbers(whole: str) -> Iterator[tuple[int, FlagKind, str]]:
    for m in _DIGITS.finditer(whole):
        before = whole[m.start() - 1 : m.start()]
        if before.isalnum() or whole[m.end() : m.end() + 1].isalnum():
            continue
        digits = "".join(c for c in m[0] if c.isdigit())
        if _is_card(m[0], digits):
            yield m.start(), "personal", "a card number"
        elif (before == "+" and 8 <= len(digits) <= 15) or _NATIONAL.fullmatch(m[0]):
            yield m.start(), "personal", "a phone number"


def _accounts(whole: str) -> Iterator[tuple[int, FlagKind, str]]:
    for m in _IBAN.finditer(whole):
        if not whole[m.start() - 1 : m.start()].isalnum() and is_iban(m[0]):
            yield m.start(), "personal", "an IBAN"


def _is_card(text: str, digits: str) -> bool:
    if not 13 <= len(digits) <= 19 or digits[0] not in "3456" or not set(text) <= set("0123456789 -"):
        return False
    # a row of the same digit passes, too
    return len(set(digits)) > 1 and passes_luhn(digits)


_LOOKS: Final[tuple[Callable[[str], Iterator[tuple[int, FlagKind, str]]], ...]] = (
    _secrets,
    _addresses,
    _numbers,
    _accounts,
)
