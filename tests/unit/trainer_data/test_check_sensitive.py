"""Secrets and personal data: found where they are, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.data.check.sensitive import is_iban, passes_luhn, traces

# put together here, so that no scanner takes this file for a leak
SECRETS = {
    "aws": ("AKIA" + "ABCDEFGHIJKLMNOP", "an AWS access key"),
    "github": ("ghp_" + "a1B2" * 9, "a GitHub token"),
    "github-fine": ("github_pat_" + "a1B2" * 9, "a GitHub token"),
    "gitlab": ("glpat-" + "a1B2" * 5, "a GitLab token"),
    "slack": ("xoxb-" + "1234567890-abc", "a Slack token"),
    "google": ("AIza" + "a1B2c" * 7, "a Google API key"),
    "sk": ("sk-proj-" + "a1B2" * 8, "an API key that begins with sk-"),
    "stripe": ("sk_live_" + "a1B2" * 6, "a Stripe key"),
    "hugging-face": ("hf_" + "abCD" * 9, "a Hugging Face token"),
    "npm": ("npm_" + "a1B2" * 9, "an npm token"),
    "sendgrid": ("SG." + "a" * 22 + "." + "b" * 43, "a SendGrid key"),
    "web-token": ("eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 12, "a JSON web token"),
    "private-key": ("-----BEGIN RSA PRIVATE " + "KEY-----", "a private key"),
    "pgp-key": ("-----BEGIN PGP PRIVATE " + "KEY BLOCK-----", "a private key"),
}

PERSONAL = {
    "mail": ("jane.doe+news@company.co.uk", "an e-mail address"),
    "phone": ("+49 (170) 123-4567", "a phone number"),
    "phone-compact": ("+491701234567", "a phone number"),
    "phone-national": ("415-555-2671", "a phone number"),
    "card": ("4111 1111 1111 1111", "a card number"),
    "card-compact": ("5500005555555559", "a card number"),
    "iban": ("DE89 3704 0044 0532 0130 00", "an IBAN"),
    "iban-compact": ("GB82WEST12345698765432", "an IBAN"),
}


@pytest.mark.parametrize(("text", "what"), [*SECRETS.values(), *PERSONAL.values()], ids=[*SECRETS, *PERSONAL])
def test_a_trace_is_found_in_its_text(text: str, what: str) -> None:
    kind = "secret" if (text, what) in SECRETS.values() else "personal"
    texts = ["nothing here", f"before {text}, behind", f'{{"key": "{text}"}}', "nor here"]
    assert list(traces(texts)) == [(1, kind, what), (2, kind, what)]


@pytest.mark.parametrize(
    "text",
    [
        "write to someone@example.com or x@host.test",
        "the risk-averse task-based approach",
        "sk-learn and sk-something-very-long-without-digits",
        "in 2024-01-15 12:30:45, order 123456789012",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "DE88 3704 0044 0532 0130 00",
        "192.168.100.200 and 3.14159265358979",
        "a@b and @home, 5 @ 3",
        "AKIA and ghp_short",
        "Begin of a PRIVATE KEY",
        "1 2 3 4 5 6 7 8 9 10 11 12",
    ],
)
def test_ordinary_text_has_no_trace(text: str) -> None:
    assert list(traces([text])) == []


@pytest.mark.parametrize("part", ["sk-", "eyJ-", "eyJaaaaaaaaaaaa.", "@", "1 ", "a.", "AA00 ", "-----BEGIN A", "xoxb-"])
def test_beginnings_alone_do_not_take_hours(part: str) -> None:
    assert len(list(traces([part * 60_000]))) <= 1


def test_a_kind_is_told_once_a_text() -> None:
    assert len(list(traces(["a.b@corp.io and c.d@corp.io"]))) == 1


def test_what_spans_two_texts_is_none() -> None:
    assert list(traces(["4111 1111", "1111 1111", "", "a.b@", "corp.io"])) == []


def test_lines_of_a_text_are_one_text() -> None:
    assert [t.text for t in traces(["x\ny", "one\ntwo a.b@corp.io\nthree", "z"])] == [1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab @.+-()0123456789GBEsk_\n", max_size=40), max_size=5))
def test_any_texts_are_looked_through(texts: list[str]) -> None:
    assert all(0 <= t.text < len(texts) for t in traces(texts))


@settings(max_examples=40, deadline=None)
@given(st.integers(10**11, 10**17), st.integers(1, 9))
def test_a_wrong_digit_fails_the_check(number: int, change: int) -> None:
    whole = next(f"{number}{d}" for d in range(10) if passes_luhn(f"{number}{d}"))
    assert not passes_luhn(whole[:-1] + str((int(whole[-1]) + change) % 10))


def test_an_iban_has_a_length() -> None:
    assert not is_iban("DE89")
