"""Secrets in addresses of the web, and tokens that services hand out.

In a URL the name before the `=` tells: `token`, `password`, `signature` and their like; a value
of a vaguer name (`key`, `code`, `auth`) must look random too. The name and the rest of the URL
stay.

Gives up: a password that is written down without a label and is in no URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.cleaning.contacts.spans import Span

_SURE_NAMES = (
    r"(?:[a-z0-9_\-]*[_\-])?(?:access|refresh|id|auth|session|csrf|xsrf|reset|api|bearer|login|security|"
    r"magic|invite|verify|verification|confirmation|unsubscribe)?[_\-]?(?:token|secret|passw(?:or)?d|pwd|"
    r"passwort|apikey|api_key|api-key|signature|sig|sessionid|session_id|jsessionid|phpsessid|credential|"
    r"private_key|client_secret|otp|jwt|magic(?:[_\-]?link)?)"
)
_VAGUE_NAMES = (
    r"key|code|auth|sid|session|hash|s|t|k|h|ticket|hmac|state|nonce|oauth|pass|pw|user_key|uid|u"
)
_IN_QUERY = re.compile(
    rf"(?:(?<=[?&;#])|(?<=&amp;))(?:(?P<sure>{_SURE_NAMES})|(?P<vague>{_VAGUE_NAMES})|(?P<campaign>utm_[a-z_]{{1,20}})|[a-z0-9_\-.]{{1,40}})=(?P<value>(?!\[[a-z]+\])[^\s&#;\"'<>\])]+)",
    re.IGNORECASE,
)
_USER_INFO = re.compile(
    r"[a-z][a-z0-9+.\-]{1,20}://(?P<value>[^\s/@:?#\"'<>]*:[^\s/@?#\"'<>]+)@", re.IGNORECASE
)
# Pages whose next piece of the path may be a secret.
PRIVATE_PAGES = (
    "reset|verify|confirm|unsubscribe|activate|invite|magic|login|auth|password|session|share|token"
)
_IN_PATH = re.compile(
    r"(?:https?://[^\s?#\"'<>]{1,200}|(?<![\w.\-])[a-z0-9\-]{1,63}(?:\.[a-z0-9\-]{1,63}){1,4})/(?:[a-z]{1,12}-)?"
    rf"(?:{PRIVATE_PAGES})s?(?:-[a-z]{{1,12}})?/(?P<value>[A-Za-z0-9_\-.~%]{{16,}})",
    re.IGNORECASE,
)
# A short code is a secret where the page's name says so, and a voucher elsewhere.
# The name is a whole word: nobody signs in to an "authentic" bag or an "author".
_ACCOUNT = "e?mail|account|user|customer|member|password|phone|code|page|form|link|token"
_CODE = re.compile(
    rf"https?://[^\s?#\"'<>]{{1,200}}(?<![a-z])(?:{_ACCOUNT})?(?:verif(?:y|ication)|confirm(?:ation)?|log-?in|"
    r"sign-?in|reset|otp|2fa|o?auth2?|authori[sz](?:e|ation)|authenticat(?:e|ion)|activat(?:e|ion))"
    rf"(?:{_ACCOUNT})?(?![a-z])[^\s?#\"'<>]{{0,40}}"
    r"\?(?:[^\s#\"'<>]{0,200}&)?(?:code|pin|otp|key|c)=(?P<value>(?=[A-Za-z\-]*[0-9])[A-Za-z0-9\-]{4,})",
    re.IGNORECASE,
)
# A piece of a path that no name of an article is.
_RANDOM_PIECE = re.compile(r"https?://[^\s?#\"'<>]{1,200}/(?P<value>[A-Za-z0-9_]{20,})(?![\w.\-])")
_PASSWORDS = (
    "password|passwort|kennwort|passwd|pwd|mot de passe|contraseña|senha|wachtwoord|hasło|пароль|parola|"
    "lösenord|salasana|heslo|jelszó|şifre|adgangskode|passord"
)
# What must look random behind the first labels is a secret whatever it is behind the others.
_LABELS = (
    r"[a-z]{0,8}sess(?:ion)?[ _\-]?id|connect\.sid|sid|session|token|(?:csrf|xsrf|access|auth|refresh|session|id)[_\- ]?token|"
    r"cookie|secret|api[ _\-]?key|key"
)
_SURE_LABELS = (
    r"(?:x-)?api[ _\-]?key|access[ _\-]?token|auth[ _\-]?token|client[ _\-]?secret|secret[ _\-]?key|"
    rf"{_PASSWORDS}"
)
# Alternatives of a regular expression of Python and Java, of a bounded length.
SECRET_LABELS = f"{_LABELS}|{_SURE_LABELS}"
_LABELLED = re.compile(
    rf"(?<![A-Za-z])(?:{_LABELS})\s?[:=]\s?[\"']?(?P<value>[A-Za-z0-9_\-.%+/]{{16,}})",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    r"eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)?"  # JSON web token
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_\-]{16,}"
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|sk-(?:proj-|ant-)?[A-Za-z0-9_\-]{20,}"
    r"|xox[abeprs]-[A-Za-z0-9\-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_\-]{30,}"
    r"|ya29\.[A-Za-z0-9_\-]{20,}|SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}|npm_[A-Za-z0-9]{30,}"
    r"|hf_[A-Za-z0-9]{20,}|dop_v1_[a-f0-9]{40,}|shpat_[a-fA-F0-9]{20,}"
    r")"
)
_BEARER = re.compile(
    r"\b(?:bearer|basic)\s+(?P<value>[A-Za-z0-9+/_\-.~]{16,}={0,2})", re.IGNORECASE
)
_NAMED = re.compile(
    rf"(?<![\w\-])(?:{_SURE_LABELS})\s?[:=]\s?(?P<value>[^\s,;\"'<>]{{6,}})",
    re.IGNORECASE,
)
# "My password is hunter22", and not "is 8-digit" or "is case-sensitive".
_SPOKEN = re.compile(
    rf"(?<![\w\-])(?:{_PASSWORDS})[^\W\d_]{{0,2}}\s(?:is|was|are|ist|war|lautet|est|es|era|è|é|to|jest|je|är|er|on|это|был|este|volt)\s:?\s?"
    r"(?P<value>(?![0-9]+-?[^\W\d_]+(?![\w\-!$%&#@]))(?=[^\s]*[^\W\d_])(?=[^\s]*[0-9])[^\s,;\"'<>]{6,})",
    re.IGNORECASE,
)


_TURNS = re.compile(r"[A-Za-z][0-9]|[0-9][A-Za-z]")


def credentials(text: str) -> Iterator[Span]:
    """The secrets of a plain text, in no order; they may overlap."""
    # Looks for one sign before patterns that begin with a word: most texts have none of them.
    has_path, has_label = "/" in text, "=" in text or ":" in text
    for match in _USER_INFO.finditer(text) if has_path else ():
        yield Span(*match.span("value"), "token")
    for match in _IN_QUERY.finditer(text) if "=" in text else ():
        value = match["value"]
        may_be = match["vague"] or (not match["campaign"] and _is_mixed(value))
        if match["sure"] or (may_be and _looks_random(value)):
            yield Span(*match.span("value"), "token")
    for match in _RANDOM_PIECE.finditer(text) if has_path else ():
        if len(_TURNS.findall(match["value"])) >= 5 and _is_mixed(match["value"]):
            yield Span(*match.span("value"), "token")
    for match in _CODE.finditer(text) if has_path and "=" in text else ():
        yield Span(*match.span("value"), "token")
    path = (_IN_PATH,) if has_path else ()
    labelled = (_LABELLED, _NAMED) if has_label else ()
    for pattern in (*path, _BEARER, *labelled, _SPOKEN):
        for match in pattern.finditer(text):
            value = match["value"]
            is_password = pattern in (_NAMED, _SPOKEN)
            if is_password or _looks_random(value):
                end = match.end("value")
                # A password may end with a mark; a sentence that loses one is no harm.
                while end > match.start("value") + 1 and text[end - 1] in ".)":
                    end -= 1
                if not is_password or re.search(r"[\d\W_]", value[:-1]):
                    yield Span(match.start("value"), end, "token")
    for match in _KNOWN.finditer(text):
        yield Span(*match.span(), "token")


def _is_mixed(value: str) -> bool:
    return len(value) >= 20 and value != value.lower() and value != value.upper()


def _looks_random(value: str) -> bool:
    """Long, and a mixture that no word, number or date is."""
    digits = sum(map(str.isdigit, value))
    letters = sum(map(str.isalpha, value))
    if len(value) < 16:
        # Capitals and small letters with digits among them, which no word or voucher has.
        mixed = value != value.lower() and value != value.upper() and value.isalnum()
        return mixed and len(value) >= 10 and len(re.findall(r"[0-9](?![0-9])", value)) >= 3
    if digits < 3 or letters < 3 or digits + letters < 0.8 * len(value):
        return False
    return not _is_slug(value)


# Where the words of a name are joined: "oatmeal-raisin-500g", "SummerSale2026".
_JOINT = re.compile(r"[\-_.+/]+|%20|(?<=[a-z0-9])(?=[A-Z][a-z])")
_SIZE = re.compile(
    r"[0-9]+(?:[mc]?m|[mc]?l|k?g|mg|oz|lbs?|[mgt]b|[kmg]?hz|w|v|m?ah|in|inch|pcs|x|[0-9]*x[0-9]+)?",
    re.IGNORECASE,
)
# A word or a model, with one row of digits at most.
_PIECE = re.compile(r"(?:[A-Z]?[a-z]*|[A-Z]{1,3})[0-9]*|[0-9]+(?:[A-Z]?[a-z]*|[A-Z]{1,3})")
_WORD = re.compile(r"(?=.*[aeiouyAEIOUY])[A-Za-z][a-z]{2,}")


def _is_slug(value: str) -> bool:
    """Words, sizes and models joined to a name; most of its letters are in words."""
    pieces = [piece for piece in _JOINT.split(value) if piece and not _SIZE.fullmatch(piece)]
    if not pieces or not all(map(_PIECE.fullmatch, pieces)):
        return False
    letters = sum(map(str.isalpha, "".join(pieces)))
    in_words = sum(len(piece) for piece in pieces if _WORD.fullmatch(piece))
    return in_words >= 0.5 * letters
