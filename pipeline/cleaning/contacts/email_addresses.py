"""E-mail addresses in a plain text, of any script, also where the sign `@` is written otherwise.

An address goes as far as one script goes: in a language that is written without spaces a Latin
address has the sentence for neighbour. `[at]`, `(at)`, `%40` and entities count as `@`; a bare
word "at" only where the domain is one of a mail provider or the dots are spelled too.

Gives up: an address without a top-level domain, a bare "name at shop.example" (which is where
something was bought more often than an address), Git's and other systems' `name@host`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pipeline.cleaning.contacts.spans import Span

# Words for the sign that mean little else before a domain; "at" means much.
_SURE_AT_WORDS = (
    "arroba|arobase|arobas|chiocciola|apenstaartje|małpa|malpa|собака|собачка|kukac|zavináč|zavinac|"
    "snabel-?a|alfakr[øo]ll|miukumauku|kr[øo]llalfa|παπάκι|papaki|маймунско а|равлик|güzel a|at-sign|at sign"
)
_AT_WORDS = f"at|ät|{_SURE_AT_WORDS}|a|@|et"
_DOT_WORDS = (
    "dot|punkt|punto|ponto|point|kropka|точка|крапка|punt|piste|te[čc]ka|bodka|pont|prick|punktum|nokta|"
    "τελεία|punct"
)
_AT = re.compile(
    rf"%40|&#64;|&#x40;|&commat;|\s{{0,3}}[\[({{<]\s{{0,2}}(?:{_AT_WORDS})\s{{0,2}}[\])}}>]\s{{0,3}}|\s?@\s?"
    rf"|\s{{1,3}}(?:at|{_SURE_AT_WORDS})\s{{1,3}}|\s?[_\-*~]{{1,2}}at[_\-*~]{{1,2}}\s?",
    re.IGNORECASE,
)
_DOT = re.compile(
    rf"\s{{0,3}}[\[({{<]\s{{0,2}}(?:{_DOT_WORDS}|\.)\s{{0,2}}[\])}}>]\s{{0,3}}|%2e|\.|\s{{1,3}}(?:{_DOT_WORDS})\s{{1,3}}"
    r"|\s?[_\-*~]{1,2}dot[_\-*~]{1,2}\s?|\s?\.\s(?=(?:com|net|org|de|fr|es|it|nl|pl|ru|br|in|uk)\b)|\s\.(?=(?:com|net|org|edu)\b)",
    re.IGNORECASE,
)
_BRACKETED_HOST = re.compile(r"\[(?:IPv6:[0-9a-fA-F:]+|[0-9]{1,3}(?:\.[0-9]{1,3}){3})\]")
_QUOTED_NAME = re.compile(r'"[^"\n]{1,62}"\Z')
# "john dot" before "smith at", "john (dot)" before "smith (at)", "john underscore" as well
_SIGN_WORDS = (
    f"{_DOT_WORDS}|underscore|underline|unterstrich|gui[oó]n bajo|tiret(?: du bas)?|trattino|bindestrich|minus|dash|"
    "hyphen|gui[oó]n|podkre[śs]lenie|my[śs]lnik|тире|дефис"
)
_SPELLED_NAME = re.compile(
    rf"(?:\b[\w\-]+(?:\s{{1,2}}(?:{_SIGN_WORDS})\s{{1,2}}|\s?[\[({{](?:{_SIGN_WORDS})[\])}}]\s?))+\Z",
    re.IGNORECASE,
)
_LOOKS_LOCAL = re.compile(
    rf"[._0-9]|\s(?:{_SIGN_WORDS})\s|[\[({{](?:{_SIGN_WORDS})[\])}}]", re.IGNORECASE
)
# What asks for an address: "reach me: nigel at shop dot com".
_ASKED = re.compile(
    r"(?<![^\W_])(?:e-?mails?|mailto|reach|contact\w*|write|address|kontakt\w*|schreib\w*|adresse?|[ée]cri\w*|"
    r"correo|escr[ií]b\w*|scriv\w*|adres\w*|pi[šs]\w*|почт\w*|пиш\w*|мейл\w*|имейл\w*)(?:\W+\w+){0,2}\W*\Z",
    re.IGNORECASE,
)
# "sue@gmail,com", "sue@gmailcom", "sue at gmail com", "sue@gmail"
_BROKEN_PROVIDER = re.compile(
    r"(?:(?P<comma>[a-z0-9\-]{2,30}(?=,[a-z]))|(?P<loose>[a-z0-9\-]{2,30}(?= [a-z]))|(?:gmail|googlemail|hotmail|outlook|yahoo|icloud|gmx|protonmail|yandex|"
    r"rediffmail))(?:(?:[ ,;]{1,2}|)"
    r"(?P<end>com(?:[ ,.](?:br|ar|mx|tr|au|co|pe|ve|cn|hk|sg|my|ph|vn|tw|ua))?|net|org|de|fr|es|it|nl|pl|be|at|ch|co[ ,.]uk|co[ ,.]in|ru))?(?![\w@]|[.\-]\w)",
    re.IGNORECASE,
)
_PROVIDERS = re.compile(
    r"(?:(?:gmail|googlemail|hotmail|outlook|live|msn|yahoo|ymail|icloud|me|mac|aol|gmx|protonmail|inbox|"
    r"rediffmail|qq|163|126|foxmail|naver|hanmail)\.(?:com?|net|org|de|fr|es|it|nl|pl|at|ch|be|in|ru)(?:\.[a-z]{2})?"
    r"|proton\.me|(?:web|t-online|freenet|arcor|email)\.de|tutanota\.(?:com|de)|(?:mail|bk|list|yandex|ya|rambler|inbox)\.(?:ru|com)"
    r"|(?:orange|wanadoo|free|sfr|laposte)\.(?:fr|net)|(?:libero|virgilio|tiscali|alice|tin)\.it"
    r"|(?:uol|bol|terra|ig)\.com\.br|(?:wp|o2|onet|interia|op)\.(?:pl|eu)|(?:ziggo|kpnmail|planet|home|xs4all)\.nl"
    r"|(?:telenet|skynet)\.be|sina\.cn|daum\.net|(?:seznam|centrum)\.cz|abv\.bg|ukr\.net|bluewin\.ch)",
    re.IGNORECASE,
)
# What stands before "at gmail.com" and is no mailbox.
# fmt: off
_NO_NAMES = frozenset((
    "account", "accounts", "address", "available", "bought", "buy", "email", "emails", "found",
    "get", "got", "it", "mail", "me", "mailbox", "look", "ordered", "sold", "us", "you", "them",
    "support", "is", "was", "are", "here", "there", "log", "logged", "login", "sign", "signed",
    "someone", "anyone",
))
# fmt: on
# A picture for fine screens is "icon@2x.png", and packages are "name@version.js".
# fmt: off
_FILES = frozenset((
    "png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "pdf", "css", "js", "ts", "json",
    "xml", "html", "htm", "php", "zip", "gz", "mp3", "mp4", "mov", "avi", "txt", "csv", "doc",
    "docx", "xls", "xlsx", "exe",
))
# fmt: on
# fmt: off
_WELL_KNOWN = frozenset((
    "com", "net", "org", "edu", "gov", "de", "fr", "es", "it", "nl", "pl", "ru", "br", "in",
    "uk", "eu", "at", "ch", "be",
))
# fmt: on
_MAX_LOCAL, _MAX_LABEL = 64, 63


def email_addresses(text: str) -> Iterator[Span]:
    """The addresses of a plain text, from left to right."""
    done = 0
    for at in _AT.finditer(text):
        sign = text[at.start() : at.end()]
        if at.start() < done:
            continue
        start = _local_start(text, at.start(), done)
        if start == at.start():
            continue
        local = text[start : at.start()]
        found = _domain_end(text, at.end())
        if found is None:
            broken = _BROKEN_PROVIDER.match(text, at.end())
            tight = sign.strip() == sign and "at" not in sign.lower()
            if broken and broken["comma"] and not (tight and broken["end"]):
                broken = None
            if broken and broken["loose"]:
                provider = _BROKEN_PROVIDER.match(broken["loose"])
                sure = tight and broken["end"] and _LOOKS_LOCAL.search(local)
                broken = broken if provider or sure else None
            if broken and local.lower() not in _NO_NAMES and (tight or broken["end"]):
                yield Span(start, broken.end(), "email")
                done = broken.end()
            continue
        end, labels, spelled = found
        asked = bool(_ASKED.search(text, max(0, start - 24), start))
        if _is_address(sign, local, labels, spelled, asked):
            yield Span(start, end, "email")
            done = end


def _is_address(sign: str, local: str, labels: list[str], spelled: bool, asked: bool) -> bool:
    if labels and labels[-1].lower() in _FILES:
        return False
    bare = sign.strip()
    if bare == sign or bare.startswith(("[", "(", "{", "<", "-", "_", "*", "~")):
        return True
    if re.fullmatch(_SURE_AT_WORDS, bare, re.IGNORECASE):
        return True
    is_provider = bool(_PROVIDERS.fullmatch(".".join(labels))) and local.lower() not in _NO_NAMES
    looks_local = bool(_LOOKS_LOCAL.search(local)) and not local.isdigit()
    if bare == "@":  # with spaces around: a price, a place, or an address
        return is_provider or (looks_local and not re.match(r"[\d.,]+\Z", local))
    known = asked and labels[-1].lower() in _WELL_KNOWN and local.lower() not in _NO_NAMES
    return is_provider or (spelled and (looks_local or known))


def _script(character: str) -> str:
    """The writing system of a letter or mark, as far as telling neighbours apart needs it."""
    if character.isascii():
        return "LATIN"
    name = unicodedata.name(character, "").partition(" ")[0]
    return "CJK" if name in ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA") else name


def _is_foreign_mark(character: str) -> bool:
    """Whether it is an accent or vowel sign that stands as a character of its own."""
    return not character.isascii() and unicodedata.category(character)[0] == "M"


def _local_start(text: str, end: int, floor: int) -> int:
    """Where the part before the sign begins; `end` where there is none."""
    floor = max(floor, end - _MAX_LOCAL)
    quoted = _QUOTED_NAME.search(text, floor, end)
    if quoted:
        return quoted.start()
    script, start = "", end
    while start > floor:
        character = text[start - 1]
        if character.isalpha():
            own = _script(character)
            if script and own != script:
                break
            script = own
        elif character not in "0123456789._%+-!#$&*^`|~'" and not _is_foreign_mark(character):
            break
        start -= 1
    if start == end - _MAX_LOCAL and start > 0 and text[start - 1].isalnum():
        return end  # longer than any mailbox: no address
    while start < end and text[start] in ".'-!#$&*^`|~%+":
        start += 1
    if not any(character.isalnum() for character in text[start:end]):
        return end
    spelled = _SPELLED_NAME.search(text, floor, start)
    return spelled.start() if spelled else start


def _domain_end(text: str, start: int) -> tuple[int, list[str], bool] | None:
    """Where a domain ends, its labels, and whether a dot of it is spelled; None: it is none."""
    host = _BRACKETED_HOST.match(text, start)
    if host:
        return host.end(), [], False
    place, labels, ends, spelled = start, [], [], False
    while True:
        end = _label_end(text, place)
        if end == place:
            break
        labels.append(text[place:end])
        ends.append(end)
        dot = _DOT.match(text, end)
        if dot is None:
            break
        if (
            len(labels) > 1
            and labels[-1].lower() in _WELL_KNOWN
            and text[dot.end() : dot.end() + 1].isupper()
        ):
            break  # the next sentence, without a space before it
        spelled |= dot.group() != "."
        place = dot.end()
    name = re.match(r"[A-Za-z]{2,}(?=[\-0-9])", labels[-1]) if labels else None
    if name and name.group().lower() in _WELL_KNOWN:
        ends[-1] -= len(labels[-1]) - name.end()
        labels[-1] = name.group()
    while len(labels) > 1 and not _is_top_level(labels[-1]):
        labels.pop()
        ends.pop()
    if len(labels) < 2:
        return None
    return ends[-1], labels, spelled


def _label_end(text: str, start: int) -> int:
    script, end = "", start
    while end < min(len(text), start + _MAX_LABEL):
        character = text[end]
        if character.isalpha():
            own = _script(character)
            if script and own != script:
                break
            script = own
        elif not (character in "0123456789-" or (end > start and _is_foreign_mark(character))):
            break
        end += 1
    while end > start and text[end - 1] == "-":
        end -= 1
    return end


def _is_top_level(name: str) -> bool:
    if name.lower().startswith("xn--"):
        return len(name) > 5
    letters = sum(map(str.isalpha, name))
    return (
        2 <= len(name) <= 24
        and letters >= 1
        and not any(map(str.isdigit, name))
        and "-" not in name
    )
