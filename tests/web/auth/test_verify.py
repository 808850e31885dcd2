"""What a token is worth: every algorithm, every claim, and every trick that should not work."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.access.claims import Claims, Scope
from supervisor.config.authtable import ALGORITHMS
from supervisor.errors import Unauthenticated
from supervisor.model import Actor
from supervisor.reach import MAX_GLOB_LENGTH, MAX_GLOBS
from tests.web.keyring import SECRET, key_file, sign
from web.auth.keys import Key, read_key
from web.auth.verify import MAX_TOKEN, Policy, judge, open_token, read_header

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
SOON = int((NOW + timedelta(hours=1)).timestamp())
FINE: dict[str, Any] = {"sub": "anna", "exp": SOON, "scope": "runs:read"}
HS256 = read_key(SECRET, algorithm="HS256")
RS256 = read_key(key_file("RS256"), kid="rsa")
ES256 = read_key(key_file("ES256"), kid="ec")
ONE_MESSAGE = "the token is not valid"


def claims_of(token: str, *keys: Key, policy: Policy | None = None) -> Claims:
    """All steps, as the server takes them."""
    opened = open_token(token, read_header(token), keys)
    if opened is None:
        raise Unauthenticated(ONE_MESSAGE)
    return judge(opened.payload, policy or Policy(), NOW)


def judged(policy: Policy | None = None, /, **said: Any) -> Claims:
    """What a well signed token with these claims is worth, if anything; None leaves one out."""
    payload = {name: value for name, value in (FINE | said).items() if value is not None}
    return judge(json.dumps(payload).encode(), policy or Policy(), NOW)


def refusal(policy: Policy | None = None, /, **said: Any) -> str:
    with pytest.raises(Unauthenticated) as caught:
        judged(policy, **said)
    return caught.value.message


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def by_hand(header: object, claims: object = FINE, secret: bytes = SECRET) -> str:
    """A token whose header says what it likes, signed by HS256."""
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


class TestSignatures:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_token_of_every_algorithm_is_good(self, algorithm: str) -> None:
        key = read_key(key_file(algorithm), algorithm=algorithm, kid="k")
        claims = claims_of(sign(algorithm, FINE, kid="k"), key)
        assert claims.actor == Actor("token", "anna")
        assert claims.scopes == {Scope.RUNS_READ}

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_token_of_another_key_of_the_same_kind_is_not(self, algorithm: str) -> None:
        other = b"another secret, long enough for any of them; and then some more." * 2
        content = other if algorithm.startswith("HS") else key_file(algorithm, 2)
        key = read_key(content, algorithm=algorithm)
        with pytest.raises(Unauthenticated, match=ONE_MESSAGE):
            claims_of(sign(algorithm, FINE), key)

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_no_bit_of_a_token_can_be_changed(self, algorithm: str) -> None:
        key = read_key(key_file(algorithm), algorithm=algorithm)
        token = sign(algorithm, FINE)
        for at in range(0, len(token), 7):
            changed = "A" if token[at] != "A" else "B"
            with pytest.raises(Unauthenticated):
                claims_of(token[:at] + changed + token[at + 1 :], key)

    def test_keys_are_told_apart_by_kid(self) -> None:
        keys = [read_key(key_file("ES256", n), kid=f"k{n}") for n in (1, 2, 3)]
        for n in (1, 2, 3):
            claims_of(sign("ES256", FINE, number=n, kid=f"k{n}"), *keys)
        with pytest.raises(Unauthenticated):
            claims_of(sign("ES256", FINE, number=1, kid="k2"), *keys)

    def test_a_rotated_key_counts_until_it_is_taken_away(self) -> None:
        old, new = (read_key(key_file("RS256", n), kid=str(n)) for n in (1, 2))
        token = sign("RS256", FINE, number=1, kid="1")
        claims_of(token, old, new)
        with pytest.raises(Unauthenticated):
            claims_of(token, new)

    def test_without_kid_every_key_of_the_algorithm_is_tried(self) -> None:
        keys = [read_key(key_file("ES256", n), kid=f"k{n}") for n in (1, 2)]
        claims_of(sign("ES256", FINE, number=2), *keys)

    def test_a_key_without_kid_is_tried_for_any(self) -> None:
        claims_of(sign("HS256", FINE, kid="whatever"), HS256)


class TestConfusion:
    """What RFC 8725 warns of."""

    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
    def test_unsigned(self, alg: str) -> None:
        unsigned = f"{part({'alg': alg})}.{part(FINE)}."
        for token in (unsigned, by_hand({"alg": alg})):
            with pytest.raises(Unauthenticated, match=ONE_MESSAGE):
                claims_of(token, HS256, RS256, ES256)

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    @pytest.mark.parametrize("kid", [None, "k"])
    def test_a_public_key_as_the_secret(self, algorithm: str, kid: str | None) -> None:
        public = key_file(algorithm)
        keys = [read_key(public, kid="k"), HS256]
        for secret in (public, public.strip(), public.strip() + b"\n\n"):
            token = by_hand({"alg": "HS256", "kid": kid}, secret=secret)
            with pytest.raises(Unauthenticated, match=ONE_MESSAGE):
                claims_of(token, *keys)

    @pytest.mark.parametrize("signed", ["HS256", "RS256", "ES256"])
    @pytest.mark.parametrize("named", ["HS256", "HS384", "RS256", "RS512", "ES256", "PS256"])
    def test_an_algorithm_that_is_not_the_keys(self, signed: str, named: str) -> None:
        if signed == named:
            return
        real = sign(signed, FINE).split(".")
        with pytest.raises(Unauthenticated, match=ONE_MESSAGE):
            claims_of(".".join((part({"alg": named}), *real[1:])), HS256, RS256, ES256)

    def test_a_secret_of_one_length_is_not_used_for_another(self) -> None:
        with pytest.raises(Unauthenticated, match=ONE_MESSAGE):
            claims_of(sign("HS512", FINE), HS256)

    @pytest.mark.parametrize(
        "kid",
        [
            "",
            "rsa\0",
            "RSA",
            "../../../../dev/null",
            "/dev/null",
            "file:///dev/null",
            "https://evil.example/key",
            "' OR '1'='1",
            "| sleep 5",
            "%00",
            "\N{LATIN SMALL LETTER LONG S}",
            "k" * 4000,
        ],
    )
    def test_a_kid_is_only_ever_compared(self, kid: str) -> None:
        """Also an empty secret, which is what /dev/null would be."""
        for token in (
            by_hand({"alg": "HS256", "kid": kid}, secret=b""),
            by_hand({"alg": "RS256", "kid": kid}, secret=b""),
        ):
            with pytest.raises(Unauthenticated, match=ONE_MESSAGE):
                claims_of(token, RS256, ES256, read_key(SECRET, algorithm="HS256", kid="rsa"))

    @pytest.mark.parametrize(
        "more",
        [
            {"jwk": {"kty": "oct", "k": part(b"evil" * 8)}},
            {"jku": "http://127.0.0.1:1/evil.json"},
            {"x5u": "http://127.0.0.1:1/evil.pem"},
            {"x5c": ["AAAA"]},
        ],
    )
    def test_a_key_that_comes_with_the_token_is_not_looked_at(self, more: dict[str, Any]) -> None:
        token = by_hand({"alg": "HS256"} | more, secret=b"evil" * 8)
        with pytest.raises(Unauthenticated, match=ONE_MESSAGE):
            claims_of(token, HS256, RS256)

    @pytest.mark.parametrize(
        "more",
        [
            {"crit": ["exp"]},
            {"crit": []},
            {"crit": None},
            {"crit": "b64"},
            {"crit": ["b64"], "b64": False},
            {"crit": ["b64"], "b64": True},
            {"b64": False},
            {"b64": True},
        ],
    )
    def test_an_extension_that_must_be_understood_is_not(self, more: dict[str, Any]) -> None:
        with pytest.raises(Unauthenticated, match="extension"):
            claims_of(by_hand({"alg": "HS256"} | more), HS256)


class TestForm:
    """Things that are no token at all: each is refused, none breaks anything."""

    @pytest.mark.parametrize(
        "token",
        [
            "",
            ".",
            "..",
            "...",
            "a.b",
            "a.b.c",
            "a.b.c.d",
            "devtoken",
            f"{part([])}.{part(FINE)}.AAAA",
            f"{part(7)}.{part(FINE)}.AAAA",
            f"{part(b'{')}.{part(FINE)}.AAAA",
            f"{part(b'')}.{part(FINE)}.AAAA",
            f"{part(bytes([0xFF]))}.{part(FINE)}.AAAA",
            f"{part({})}.{part(FINE)}.AAAA",
            f"{part({'alg': None})}.{part(FINE)}.AAAA",
            f"{part({'alg': 7})}.{part(FINE)}.AAAA",
            f"{part({'alg': ['HS256']})}.{part(FINE)}.AAAA",
            f"{part({'alg': 'HS256', 'kid': 7})}.{part(FINE)}.AAAA",
            f"{part({'alg': 'HS256', 'kid': ['k']})}.{part(FINE)}.AAAA",
            f"{part({'alg': 'HS256', 'typ': {}})}.{part(FINE)}.AAAA",
            f"{part(b'[' * 9000)}.{part(FINE)}.AAAA",
            f"{part(b'{%cx%c:' % (34, 34) * 2000)}.{part(FINE)}.AAAA",
            f"{part({'alg': 'HS256'})}.é.AAAA",
            f"{part({'alg': 'HS256'})}.{part(FINE)}.\N{FULLWIDTH LATIN CAPITAL LETTER A}",
            f"{part({'alg': 'HS256'})}.{part(FINE)}.\ud800",
            by_hand({"alg": "HS256"}) + "=",
            by_hand({"alg": "HS256"}) + "\n",
            " " + by_hand({"alg": "HS256"}),
            by_hand({"alg": "HS256"}).replace(".", "..", 1),
        ],
        ids=lambda token: token[:30] + f"#{len(token)}",
    )
    def test_it_is_refused(self, token: str) -> None:
        with pytest.raises(Unauthenticated):
            claims_of(token, HS256, RS256)

    def test_a_huge_one_is_refused_before_it_is_looked_at(self) -> None:
        with pytest.raises(Unauthenticated, match="longer than 16 KiB"):
            read_header("a" * (MAX_TOKEN + 1))

    def test_a_long_one_is_good(self) -> None:
        token = by_hand({"alg": "HS256"}, FINE | {"groups": ["g" * 100] * 80})
        assert MAX_TOKEN // 2 < len(token) <= MAX_TOKEN
        claims_of(token, HS256)

    @given(st.text(max_size=200))
    def test_any_text_is_refused(self, text: str) -> None:
        with pytest.raises(Unauthenticated):
            claims_of(text, HS256)

    @pytest.mark.parametrize(
        "payload", [b"", b"[]", b"7", b"null", b'"a"', b"{", b"\xff", b"[" * 9000, b'{"exp":NaN}']
    )
    def test_claims_that_are_no_object_are_refused(self, payload: bytes) -> None:
        with pytest.raises(Unauthenticated, match="JSON object"):
            judge(payload, Policy(), NOW)


class TestTime:
    def test_expiry_is_required(self) -> None:
        assert refusal(exp=None) == "the token has no exp"

    @pytest.mark.parametrize("past_s", [-3600, -1, 0, 29])
    def test_it_is_good_until_its_expiry_and_the_leeway_after(self, past_s: int) -> None:
        claims = judged(exp=int(NOW.timestamp()) - past_s)
        assert claims.expires_at == NOW - timedelta(seconds=past_s)

    @pytest.mark.parametrize("past_s", [30, 31, 3600])
    def test_after_that_it_has_expired(self, past_s: int) -> None:
        assert refusal(exp=int(NOW.timestamp()) - past_s) == "the token has expired"

    @pytest.mark.parametrize("ahead_s", [-3600, 0, 30])
    def test_it_is_good_from_its_beginning_and_the_leeway_before(self, ahead_s: int) -> None:
        judged(nbf=int(NOW.timestamp()) + ahead_s)

    def test_before_that_it_is_not_valid_yet(self) -> None:
        assert refusal(nbf=int(NOW.timestamp()) + 31) == "the token is not valid yet"

    def test_without_leeway_the_clock_counts_to_the_second(self) -> None:
        strict = Policy(leeway_s=0)
        judged(strict, exp=int(NOW.timestamp()) + 1)
        assert refusal(strict, exp=int(NOW.timestamp())) == "the token has expired"

    def test_fractions_of_seconds_are_allowed(self) -> None:
        assert judged(exp=SOON + 0.5).expires_at == NOW + timedelta(hours=1, milliseconds=500)

    @pytest.mark.parametrize("exp", [-1, 253402300800, 10**18, 10**30, 1e300, -1e300])
    def test_a_date_that_is_none_is_refused(self, exp: float) -> None:
        assert refusal(exp=exp).startswith(("a claim of the token is wrong: exp", "the token's cl"))


class TestTypes:
    """A claim of another type is never guessed at, and a narrowing one never passed over."""

    @pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
    @pytest.mark.parametrize("value", ["9999999999", True, [], {}, [9999999999]])
    def test_dates_are_numbers(self, claim: str, value: Any) -> None:
        assert (
            refusal(**{claim: value}) == f"a claim of the token is wrong: {claim} has another type"
        )

    @pytest.mark.parametrize("claim", ["iss", "sub", "jti"])
    @pytest.mark.parametrize("value", [7, True, ["a"], {}])
    def test_names_are_texts(self, claim: str, value: Any) -> None:
        assert (
            refusal(**{claim: value}) == f"a claim of the token is wrong: {claim} has another type"
        )

    @pytest.mark.parametrize("claim", ["aud", "runs", "jobs"])
    @pytest.mark.parametrize("value", [7, True, {}, [7], [["a"]], [None], {"a": "b"}])
    def test_lists_hold_texts(self, claim: str, value: Any) -> None:
        assert claim in refusal(**{claim: value})

    @pytest.mark.parametrize("claim", ["exp", "nbf", "iat", "iss", "aud", "runs", "jobs"])
    def test_null_is_not_absent(self, claim: str) -> None:
        payload = json.dumps(FINE | {claim: None}).encode()
        with pytest.raises(Unauthenticated, match=claim):
            judge(payload, Policy(), NOW)

    @pytest.mark.parametrize("value", [7, True, {"a": 1}, [7], [["runs:read"]], [None]])
    def test_scopes_are_texts(self, value: object) -> None:
        assert refusal(scope=value).startswith("a claim of the token is wrong: scope")

    @pytest.mark.parametrize(
        "sub", ["", "a\nb", "a\0b", "\x1b[31m", "\N{LINE SEPARATOR}", "x" * 257]
    )
    def test_a_name_that_could_not_be_shown_is_refused(self, sub: str) -> None:
        assert "sub must be 1 to 256 printable characters" in refusal(sub=sub)

    @pytest.mark.parametrize("sub", ["Grüße", "名前", "a b", "x" * 256, "\N{PILE OF POO}"])
    def test_any_other_name_is_kept(self, sub: str) -> None:
        assert judged(sub=sub).actor == Actor("token", sub)

    def test_half_a_surrogate_pair_is_refused(self) -> None:
        payload = json.dumps(FINE).replace("anna", "\\ud800").encode()
        with pytest.raises(Unauthenticated):
            judge(payload, Policy(), NOW)

    def test_a_token_need_not_have_a_name(self) -> None:
        assert judged(sub=None).actor == Actor("token", "unnamed")
        assert judged(jti=None).jti is None
        assert judged(jti="t1").jti == "t1"


class TestIssuerAndAudience:
    def test_the_issuer_has_to_be_the_one_that_is_expected(self) -> None:
        policy = Policy(issuers=("https://id.example", "runwire"))
        judged(policy, iss="https://id.example")
        judged(policy, iss="runwire")
        for iss in ("https://id.example/", "HTTPS://ID.EXAMPLE", "evil", "", None):
            assert "issuer" in refusal(policy, iss=iss)

    def test_where_none_is_expected_any_will_do(self) -> None:
        judged(iss="anybody")

    def test_the_audience_has_to_be_among_those_expected(self) -> None:
        policy = Policy(audience=("runwire", "all"))
        for aud in ("runwire", ["other", "all"]):
            judged(policy, aud=aud)
        for other in ("Runwire", "run", ["other"], [], "", None):
            assert "audience" in refusal(policy, aud=other)

    def test_a_token_that_is_for_somebody_else_is_not_for_a_server_without_name(self) -> None:
        assert "audience" in refusal(aud="billing")
        assert "audience" in refusal(aud=[])


class TestScopes:
    def test_scopes_are_words_and_those_of_others_are_passed_over(self) -> None:
        claims = judged(scope="openid runs:read  runs:cancel profile Admin admin.read")
        assert claims.scopes == {Scope.RUNS_READ, Scope.RUNS_CANCEL}

    @pytest.mark.parametrize("scope", [None, "", " ", [], "nothing"])
    def test_without_scope_a_token_allows_nothing(self, scope: object) -> None:
        assert judged(scope=scope).scopes == frozenset()

    def test_a_list_will_do(self) -> None:
        assert judged(scope=["runs:read", "runs:exec runs:input"]).scopes == {
            Scope.RUNS_READ,
            Scope.RUNS_EXEC,
            Scope.RUNS_INPUT,
        }

    def test_scopes_may_stand_elsewhere(self) -> None:
        policy = Policy(scope_claim=("realm", "roles"))
        assert judged(policy, realm={"roles": ["runs:read"]}).scopes == {Scope.RUNS_READ}
        for realm in (None, {}, "roles", ["roles"], {"roles": None}):
            assert judged(policy, realm=realm).scopes == frozenset()
        assert "realm.roles" in refusal(policy, realm={"roles": {"runs:read": True}})

    def test_other_words_may_stand_for_scopes(self) -> None:
        policy = Policy(
            scope_claim=("groups",),
            scope_map={
                "Night Shift": frozenset({Scope.RUNS_READ, Scope.RUNS_CANCEL}),
                "boss": frozenset({Scope.ADMIN}),
            },
        )
        assert judged(policy, groups=["Night Shift", "boss", "else"]).scopes == {
            Scope.RUNS_READ,
            Scope.RUNS_CANCEL,
            Scope.ADMIN,
        }
        assert judged(policy, groups="boss runs:read").scopes == {Scope.ADMIN, Scope.RUNS_READ}

    @given(st.lists(st.sampled_from([*Scope, "other", "runs:", ":read", "RUNS:READ"])))
    def test_a_text_and_a_list_say_the_same(self, words: list[str]) -> None:
        scopes = judged(scope=words).scopes
        assert judged(scope=" ".join(words)).scopes == scopes
        assert scopes == {Scope(word) for word in words if word in set(Scope)}


class TestGlobs:
    def test_absent_they_do_not_narrow(self) -> None:
        claims = judged()
        assert (claims.runs, claims.jobs, claims.narrowed) == (None, None, False)

    def test_they_are_a_list_or_words(self) -> None:
        claims = judged(runs=["ci-*", "x"], jobs="nightly-* report")
        assert (claims.runs, claims.jobs) == (("ci-*", "x"), ("nightly-*", "report"))

    @pytest.mark.parametrize("nothing", [[], "", " "])
    def test_an_empty_list_is_nothing_and_not_everything(self, nothing: object) -> None:
        claims = judged(runs=nothing)
        assert claims.runs == ()
        assert claims.narrowed

    def test_they_have_bounds(self) -> None:
        judged(runs=["*" * MAX_GLOB_LENGTH] * MAX_GLOBS)
        assert "runs has more than 64" in refusal(runs=["*"] * (MAX_GLOBS + 1))
        assert "jobs has more than 64" in refusal(jobs=["a" * (MAX_GLOB_LENGTH + 1)])


@given(st.binary(max_size=300))
def test_nothing_in_a_signed_payload_breaks_anything(payload: bytes) -> None:
    with pytest.raises(Unauthenticated):
        judge(payload, Policy(), NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "scope", "runs", "jobs"]),
        json_values,
    )
)
def test_any_claims_are_judged_or_refused(said: dict[str, Any]) -> None:
    try:
        claims = judge(json.dumps(FINE | said).encode(), Policy(), NOW)
    except Unauthenticated:
        return
    assert claims.expires_at is not None
    assert claims.expires_at > NOW - timedelta(seconds=30)
    assert claims.narrowed == bool({"runs", "jobs"} & set(said))
