"""Recognisers of personal data and secrets: what they find, what they leave, and that arithmetic decides."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger._pii import KINDS, find, mask, normalised


def kinds(text: str) -> list[tuple[str, str]]:
    return [(hit.kind, text[hit.start : hit.end]) for hit in find(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Tel.: 030/1234567", ("phone", "030/1234567")),
        ("Ruf an: 0171 1234567", ("phone", "0171 1234567")),
        ("my contact number is 9472 7916, thanks", ("phone", "9472 7916")),
        ("call me back on 450 0840?", ("phone", "450 0840")),
        ("+49 (0)30 1234567", ("phone", "+49 (0)30 1234567")),
        ("from abroad 0044 20 7946 0958", ("phone", "0044 20 7946 0958")),
        ("(37) 788-063-Office", ("phone", "(37) 788-063")),
        ("my card 501864667909 is lost", ("card", "501864667909")),
        ("pay with 4111 1111 1111 1111", ("card", "4111 1111 1111 1111")),
        ("iban gb42nawi04454264788619", ("iban", "gb42nawi04454264788619")),
        ("mail josé.muñoz@correo.example", ("email", "josé.muñoz@correo.example")),
        ("key glpat-" + "a1B2c3D4" * 3, ("secret", "glpat-" + "a1B2c3D4" * 3)),
        ("token eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", ("secret", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl")),
    ],
)
def test_finds(text: str, found: tuple[str, str]) -> None:
    assert kinds(text) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "order 4915-2231-9921 of 2026-01-12 at 12:30:45",
        "1 234 567 890 rows, 14 000 000 tokens, 12 345,67 EUR",
        "ISBN 978-3-16-148410-0, DOI 10.1000/182",
        "123e4567-e89b-12d3-a456-426614174000",
        "call volume was 1234567 last year, and the mobile app had 1200000 downloads",
        "timestamp 1772539200000000000, lat 52.520008, 3.14159265358979",
        "firmware 10.2.3.4 and v1.2.3.4",
        "no card 501864667908",
        "0000 0000 0000 0000",
        "[phone] 12 times",
    ],
)
def test_leaves(text: str) -> None:
    assert kinds(text) == []


@st.composite
def cards(draw: st.DrawFn) -> str:
    body = draw(st.sampled_from(["4", "51", "34", "6011", "2221"])) + draw(
        st.text("0123456789", min_size=11, max_size=11)
    )
    doubled = [int(char) * 2 - 9 * (int(char) > 4) for char in body[-1::-2]]
    check = -(sum(doubled) + sum(int(char) for char in body[-2::-2])) % 10
    return f"{body}{check}"


@given(cards(), st.sampled_from(["", " ", "-"]), st.integers(0, 9))
def test_cards_pass_by_their_check_digit_alone(digits: str, separator: str, wrong: int) -> None:
    written = separator.join(digits[at : at + 4] for at in range(0, len(digits), 4))
    assert kinds(f"paid with {written} today") == [("card", written)]
    if str(wrong) != digits[-1]:
        assert "card" not in [kind for kind, _ in kinds(f"paid with {digits[:-1]}{wrong} today")]


@given(st.text("0123456789", min_size=18, max_size=18))
def test_ibans_pass_by_their_check_digits_alone(account: str) -> None:
    check = 98 - int(account + "131400") % 97
    right, wrong = f"DE{check:02d}{account}", f"DE{(check + 1) % 97:02d}{account}"
    assert kinds(f"to {right}, please") == [("iban", right)]
    assert "iban" not in [kind for kind, _ in kinds(f"to {wrong}, please")]


@given(st.text(max_size=300))
def test_hits_are_in_order_and_apart(text: str) -> None:
    found = find(text)
    assert all(hit.kind in KINDS and 0 <= hit.start < hit.end <= len(text) for hit in found)
    assert all(one.end <= two.start for one, two in pairwise(found))


_PIECES = st.sampled_from(
    ["phone ", "call me ", "card ", "+1 ", "030", " 555", "-1234", "4111", "a@b.co ", ": ", "12.", "[ip]"]
)


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_masking_settles(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@pytest.mark.parametrize("piece", ["a@b.cc ", "1.1.1.1 ", "-eyJ", "a@"])
def test_a_long_text_of_one_kind_takes_no_longer_than_its_length(piece: str) -> None:
    # The time limit of a test is the bound: what compares all pairs takes many minutes.
    text = piece * 200_000
    assert mask(text) == "".join(mask(text[at : at + len(piece)]) for at in range(0, len(text), len(piece)))


def test_two_ways_of_writing_one_datum_are_equal() -> None:
    assert normalised("phone", "+49 30 12345678") == normalised("phone", "030 12345678")
    assert normalised("iban", "GB82 WEST 1234 5698 7654 32") == normalised("iban", "gb82west12345698765432")
    assert normalised("email", "Ann@Example.org") == normalised("email", "ann@example.org")
    assert normalised("card", "4111-1111") == normalised("card", "41111111")
