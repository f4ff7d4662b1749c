"""Account numbers (IBAN) and numbers that a state gives a person, by their check digits.

A number whose check is weak, or that has none, counts only where its name stands before it
("SSN", "BSN", "passport"). The checks are python-stdnum's.

Gives up: ids without a check digit and without their name; company numbers, but Brazil's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

from stdnum import iban

from pipeline.cleaning.contacts.labels import OTHER, label_before
from pipeline.cleaning.contacts.spans import Span

_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ \-./_]{0,2}[A-Za-z0-9])")
_GOES_ON = re.compile(r"[0-9+)][ \-./(]{0,2}\Z")
_IBAN_MAX, _IBAN_MIN = 34, 15


@dataclass(frozen=True)
class _Kind:
    """A country's number: how it is written, which module of stdnum checks it, what names it."""

    pattern: re.Pattern[str]
    module: str = ""
    name: re.Pattern[str] | None = None  # stands before it; None: needs no name


# Of scripts that part words: next to one of these an id is a piece of something else.
_LETTERS = "0-9A-Za-z\u00c0-\u024f\u0400-\u04ff"


def _kind(pattern: str, module: str = "", name: str = "") -> _Kind:
    named = re.compile(rf"(?<![^\W_])(?:{name})(?![^\W\d_])", re.IGNORECASE) if name else None
    return _Kind(
        re.compile(rf"(?<![{_LETTERS}+])(?:{pattern})(?![{_LETTERS}]|[.,\-/][0-9])"), module, named
    )


_S = r"[ \-./]?"  # what may stand between the parts
_DATE6 = r"[0-9]{2}[0-9]{2}[0-3][0-9]"
_KINDS = (
    # -- the check and the shape are enough ------------------------------------------------------
    _kind(rf"(?:[0-9]{{8}}|[0-9]{{2}}{_S}[0-9]{{3}}{_S}[0-9]{{3}}){_S}[A-Za-z]", "es.dni"),
    _kind(rf"[XYZxyz]{_S}(?:[0-9]{{7}}|[0-9]{_S}[0-9]{{3}}{_S}[0-9]{{3}}){_S}[A-Za-z]", "es.nie"),
    _kind(
        rf"[1278]{_S}[0-9]{{2}}{_S}[0-9]{{2}}{_S}(?:[0-9]{{2}}|2[ABab]){_S}[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{2}}",
        "fr.nir",
    ),
    _kind(
        r"[A-Za-z]{3}[ \-]?[A-Za-z]{3}[ \-]?[0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{2}"
        r"[ \-]?[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{3}[ \-]?[A-Za-z]",
        "it.codicefiscale",
    ),
    _kind(rf"[0-9]{{3}}[. ]?[0-9]{{3}}[. ]?[0-9]{{3}}{_S}[0-9]{{2}}", "br.cpf"),
    _kind(rf"[0-9]{{2}}[. ]?[0-9]{{3}}[. ]?[0-9]{{3}}[/ ]?[0-9]{{4}}{_S}[0-9]{{2}}", "br.cnpj"),
    _kind(r"[0-9]{11}|[0-9]{6} [0-9]{5}", "pl.pesel"),
    _kind(r"[2-9][0-9]{3}[ \-][0-9]{4}[ \-][0-9]{4}", "in_.aadhaar"),
    _kind(r"[1-9][0-9][ ][0-9]{3}[ ][0-9]{3}[ ][0-9]{3}|[1-9][0-9]{10}", "de.idnr"),
    _kind(rf"(?:(?:19|20)?{_DATE6})[\-+][0-9]{{4}}", "se.personnummer"),
    _kind(r"[0-3][0-9][01][0-9]{3}[\-+A-FU-Yau-y][0-9]{3}[0-9A-Za-z]", "fi.hetu"),
    _kind(r"[0-3][0-9][01][0-9]{3}[ ]?[0-9]{5}", "no.fodselsnummer"),
    _kind(r"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}", "ch.ssn"),
    _kind(r"[0-9]{2}[.\- ]?[0-9]{2}[.\- ]?[0-9]{2}[\- ]?[0-9]{3}[.\- ]?[0-9]{2}", "be.nn"),
    _kind(r"[1-8][0-9]{12}", "ro.cnp"),
    _kind(r"[0-9]{6}/[0-9]{3,4}", "cz.rc"),
    _kind(r"[1-9][0-9]{10}", "tr.tckimlik"),
    _kind(r"[0-9]{3}-[0-9]{3}-[0-9]{3}[ \-][0-9]{2}", ".snils"),
    _kind(r"[0-9]{2}[01][0-9][0-3][0-9][ ]?[0-9]{4}[ ]?[0-9]{3}", "za.idnr"),
    _kind(r"[1-9][0-9]{5}[ ]?(?:19|20)[0-9]{2}[01][0-9][0-3][0-9][ ]?[0-9]{3}[0-9Xx]", "cn.ric"),
    _kind(r"[0-9]{2}[01][0-9][0-3][0-9]-[0-9]{7}", "kr.rrn"),
    _kind(r"[1-8][ \-][0-9]{4}[ \-][0-9]{5}[ \-][0-9]{2}[ \-][0-9]", "th.pin"),
    _kind(r"[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]", "mx.curp"),
    _kind(r"(?:2[03457]|3[034])-[0-9]{8}-[0-9]", "ar.cuit"),
    _kind(r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]|[0-9]{7,8}-[0-9Kk]", "cl.rut"),
    _kind(r"[STFGMstfgm][0-9]{7}[A-Za-z]", ".nric"),
    _kind(
        r"(?!BG|GB|NK|KN|TN|NT|ZZ)[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"
    ),
    _kind(r"[0-9]{7}[A-W][A-IW]?", "ie.pps"),
    _kind(r"[0-9]{8}[ ]?[0-9][ ]?[A-Z]{2}[0-9]", "pt.cc"),
    _kind(
        r"[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]",
        "",
        r"nino|ni(?: (?:number|no))?|national insurance",
    ),
    # -- only where the name says so ---------------------------------------------------------------
    _kind(
        r"(?!000|666|9)[0-9]{3}[ \-.]?(?!00)[0-9]{2}[ \-.]?(?!0000)[0-9]{4}|9[0-9]{2}[ \-]?[5-9][0-9][ \-]?[0-9]{4}",
        "",
        r"ssn|ss ?#|s\.s\.n\.|soc(?:ial)?(?: security)?(?: sec)?(?: (?:number|no|num|nr))?|itin|taxpayer id",
    ),
    _kind(
        rf"[0-9]{{9}}|[0-9]{{4}}{_S}[0-9]{{2}}{_S}[0-9]{{3}}|[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{3}}",
        "nl.bsn",
        r"bsn|burgerservice\w*|sofi\w*|citizen service",
    ),
    _kind(
        r"[2-9][0-9]{11}|[2-9][0-9]{3}[ .\-][0-9]{4}[ .\-][0-9]{4}",
        "in_.aadhaar",
        r"aadhaa?r|uidai|uid|आधार|adhar\w*",
    ),
    _kind(r"[A-Z]{5}[0-9]{4}[A-Z]", "", r"pan|pan card|permanent account"),
    _kind(
        rf"[0-9]{{10}}|[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{4}}", "gb.nhs", r"nhs(?: (?:no|number))?"
    ),
    _kind(
        rf"[0-9]{{9}}|[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{3}}",
        "ca.sin",
        r"sin|social insurance(?: number)?|nas",
    ),
    _kind(
        rf"[0-9]{{8,9}}|[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{3}}",
        "au.tfn",
        r"tfn|tax file(?: number)?",
    ),
    _kind(rf"[0-9]{{9}}|[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{3}}", "pt.nif", r"nif|contribuinte"),
    _kind(r"[0-9]{11}", "hr.oib", r"oib"),
    _kind(
        r"[2-6][0-9]{3} ?[0-9]{5} ?[0-9](?: ?/ ?[0-9])?", "", r"medicare(?: (?:no|number|card))?"
    ),
    _kind(
        r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{3}|8[0-9]{9}",
        "",
        r"taj(?:[ -]?sz[áa]m\w*)?|ad[óo]azonos[íi]t[óo]\w*",
    ),
    _kind(r"[0-9]{10}", "bg.egn", r"egn|егн"),
    _kind(r"[0-9]{6}[ \-]?[0-9]{4}", "is_.kennitala", r"kennitala|kt"),
    _kind(r"[0-9]{13}", "si.emso", r"em[šs]o|jmbg|јмбг|ембг|embg|mati[čc]ni broj"),
    _kind(r"[0-9]{8}[ \-]?[0-9]", "il.idnr", r"תעודת זהות|ת\.?ז\.?|מספר זהות|teudat zehut"),
    _kind(r"[0-9]{5}-?[0-9]{7}-?[0-9]", "pk.cnic", r"cnic|nadra|شناختی کارڈ"),
    _kind(
        r"[0-9]{4}[ \-]?[0-9]{6}",
        "at.vnr",
        r"sv[ \-]?(?:nummer|nr)|svnr|(?:sozial)?versicherungs(?:nummer|nr)",
    ),
    _kind(
        r"[0-9]{2}[ ]?[0-9]{6}[ ]?[A-Z][ ]?[0-9]{3}",
        "",
        r"(?:sozial|renten)?versicherungs(?:nummer|nr)|rvnr",
    ),
    _kind(r"[A-Z][1289][0-9]{8}", "", r"身分證\w*|身份證\w*|統一編號"),
    _kind(r"[23][0-9]{13}", "", r"الرقم القومي|رقم البطاقة"),
    _kind(r"[12][0-9]{9}", "", r"رقم الهوية|الهوية|iqama|إقامة"),
    _kind(r"784-?[0-9]{4}-?[0-9]{7}-?[0-9]", "", r"emirates id|الهوية"),
    _kind(r"[0-9]{16}|[0-9]{6}[ .][0-9]{6}[ .][0-9]{4}", "", r"nik|ktp"),
    _kind(r"[0-9]{12}|[0-9]{9}", "", r"cccd|cmnd|căn cước(?: công dân)?"),
    _kind(r"[0-9]{12}", "", r"иин|жсн|iin"),
    _kind(r"[0-9]{13}", "", r"idnp"),
    _kind(r"[0-9]{11}", "", r"nin|bvn"),
    _kind(r"[0-9]{9}[VX]|(?:19|20)[0-9]{10}", "", r"nic"),
    _kind(r"[0-9]{10}|[0-9]{13}|[0-9]{17}", "", r"nid|জাতীয় পরিচয়পত্র"),
    _kind(r"[A-Z]{1,2}[0-9]{6} ?\(?[0-9A]\)?", "", r"hkid|身份證號碼"),
    _kind(r"[0-9]{8,9}|[0-9]{2,3}-[0-9]{3}-[0-9]{3}", "nz.ird", r"ird(?: (?:no|number))?"),
    _kind(r"[0-9]{3}-[0-9]{7}-[0-9]|[0-9]-[0-9]{4}-[0-9]{4}", "", r"c[eé]dula"),
    _kind(r"[VE]-?[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}", "", r"c[eé]dula|c\.?i\.?"),
    _kind(r"[A-Z9]{5}[0-9]{6}[A-Z0-9]{5}", "", r"driving licen[cs]e(?: (?:no|number))?|dvla"),
    _kind(
        r"(?=(?:[A-Z/\-. ]*[0-9]){6})[A-Z0-9](?:[ .\-/]?[A-Z0-9]){5,17}",
        "",
        r"national id(?:entity)?(?: (?:card|no|number))*|identity (?:card )?(?:no|number)|"
        r"personal (?:id|identity|identification) (?:code|no|number)|isikukood|asmens kodas|personas kods|"
        r"num[ée]ro de carte d'identit[ée]|documento de identidad",
    ),
    _kind(r"[0-9]{6}[ \-]?[0-9]{4}", "dk.cpr", r"cpr(?:-?(?:nr|nummer))?"),
    _kind(r"(?:19|20)?[0-9]{6}[ +\-]?[0-9]{4}", "se.personnummer", r"personn(?:umme)?r|pnr"),
    _kind(r"[0-9]{12}|[0-9]{10}", "ru.inn", r"инн|inn"),
    _kind(r"[0-9]{11}|[0-9]{3}[ \-][0-9]{3}[ \-][0-9]{3}[ \-][0-9]{2}", ".snils", r"снилс|snils"),
    _kind(r"[0-9]{10}", "ua.rntrc", r"рнокпп|іпн|инн|ipn"),
    _kind(r"[0-9]{11}", "gr.amka", r"amka|αμκα"),
    _kind(r"[0-9]{9}", "gr.vat", r"afm|αφμ"),
    _kind(r"[1-8][0-9]{12}", "th.pin", r"บัตรประชาชน\w*|thai id"),
    _kind(r"[0-9]{6}[ \-]?[0-9]{2}[ \-]?[0-9]{4}", "my.nric", r"nric|mykad|ic"),
    # Those of since October 2020 have no check digit.
    _kind(r"[0-9]{6}[ \-]?[0-9]{7}", "", r"주민\w*|rrn"),
    _kind(r"[0-9]{4}[ \-]?[0-9]{4}[ \-]?[0-9]{4}", "", r"マイナンバー|個人番号|my number card"),
    _kind(r"[A-Z&Ñ]{4}[0-9]{6}[A-Z0-9]{3}", "mx.rfc", r"rfc"),
    _kind(r"[0-9]{7,8}|[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}", "", r"dni|d\.n\.i\.?"),
    _kind(r"[0-9]{1,3}(?:\.[0-9]{3}){2,3}|[0-9]{7,10}", "", r"c[eé]dula|cc de ciudadan[ií]a"),
    _kind(
        r"[A-Z]{0,3}[ ]?[0-9]{6,9}[A-Z]?|[0-9]{2}[ ][0-9]{2}[ ][0-9]{6}|[0-9]{4}[ ][0-9]{6}|[А-ЯІЇЄ]{2} ?[0-9]{6}|[0-9]{2}[A-Z]{2}[0-9]{5}|(?=[A-Z0-9]*[0-9])[0-9CDFGHJ-NPRTV-Z]{9,10}",
        "",
        r"passport(?: (?:no|number|nr))?|passeport|pasaporte|passaporto|passaporte|reisepass\w*|paspoort\w*|"
        r"paszport\w*|паспорт\w*|pass-?nr|personalausweis\w*|ausweis\w*|dl(?: no| number)?(?=\s?[#:])|driv(?:er'?s?|ing) licen[cs]e(?: (?:no|number))?|"
        r"f[üu]hrerschein\w*|护照|dow[oó]d\w*(?: osobist\w*)?|identity card(?: no)?|carte d'identit[ée]",
    ),
)
_MAX_NAME_TO_NUMBER = 28


def ibans(text: str) -> Iterator[Span]:
    """The valid IBANs of a plain text, in groups or not."""
    for start in _IBAN_START.finditer(text):
        number, ends = "", []
        place = start.start()
        while place < len(text) and len(number) < _IBAN_MAX:
            character = text[place]
            if character.isascii() and character.isalnum():
                number += character.upper()
                ends.append(place + 1)
            elif character not in " -./_" or place - ends[-1] >= 2:
                break
            place += 1
        for size in range(len(number), _IBAN_MIN - 1, -1):
            end = ends[size - 1]
            if end < len(text) and text[end].isascii() and text[end].isalnum():
                continue
            if iban.is_valid(number[:size], check_country=False):
                yield Span(start.start(), end, "iban")
                break


def national_ids(text: str, *, named: bool = False) -> Iterator[Span]:
    """The ids of a plain text, in no order; they may overlap.

    Args:
        text: plain.
        named: only those whose name stands beside them.
    """
    for kind in _KINDS:
        if kind.name and not kind.name.search(text):
            continue
        for match in kind.pattern.finditer(text):
            start, end = match.span()
            if kind.name:
                if not _is_named(text, start, end, kind.name):
                    continue
            elif not _ID_WORD.search(text[max(0, start - 30) : start]) and (
                named or label_before(text, start) == OTHER
            ):
                continue
            if not kind.name and _GOES_ON.search(text, max(0, start - 3), start):
                continue  # a piece of a longer number, of a phone's for one
            if not kind.module or _is_valid(kind.module, match.group()):
                yield Span(start, end, "id")


_ID_WORD = re.compile(
    r"\b(?:dni|nie|nif|nir|s[ée]cu\w*|s[ée]curit[ée] sociale|codice fiscale|cod\.? ?fisc\w*|c\.?f\.?|cpf|cnpj|pesel|aadhaa?r|"
    r"steuer\w*|idnr|identifikationsnummer|tax|personnummer|hetu|henkil\w*|f[øo]dselsnummer|ahv\w*|avs|rijksregister\w*|"
    r"registre national|my id|cnp|rodn[ée]\w*|kimlik|tc|id number|identity|nric|nino|ni number|national insurance|pps\w*|"
    r"curp|cuit|cuil|rut|run|снилс|身份证\S*|주민\S*)\b(?:\W+\w+){0,3}\W*$|身份证|주민",
    re.IGNORECASE,
)


def _is_named(text: str, start: int, end: int, name: re.Pattern[str]) -> bool:
    before = text[max(0, start - _MAX_NAME_TO_NUMBER) : start]
    for match in name.finditer(before):
        between = before[match.end() :]
        if not re.search(r"\d", between) and len(re.findall(r"[^\W_]+", between)) <= 3:
            return True
    after = re.match(
        rf"\W*(?:is|was|are|ist|est|es|è|é|=)\W+(?:[^\W_]{{1,6}}\W+)?(?:{name.pattern})",
        text[end : end + 40],
        re.IGNORECASE,
    )
    return bool(after)


def _is_valid(module: str, number: str) -> bool:
    if module == ".snils":
        return _is_snils(re.sub(r"\D", "", number))
    if module == ".nric":
        return _is_nric(number.upper())
    if len(set(re.sub(r"\D", "", number))) == 1:
        return False
    return bool(_check(module).is_valid(re.sub(r"[./ ]", "", number)))


@cache
def _check(module: str) -> ModuleType:
    return import_module(f"stdnum.{module}")


def _is_snils(digits: str) -> bool:
    """Russia's insurance number: digits weighted 9 to 1, modulo 101; 100 is written 00."""
    total = sum(
        int(digit) * weight for digit, weight in zip(digits[:9], range(9, 0, -1), strict=True)
    )
    return total % 101 % 100 == int(digits[9:])


def _is_nric(number: str) -> bool:
    """Singapore's number: digits weighted 2 7 6 5 4 3 2, modulo 11, as a letter."""
    total = sum(int(d) * w for d, w in zip(number[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True))
    if number[0] == "M":
        return "KLJNPQRTUWX"[10 - (total + 3) % 11] == number[8]
    if number[0] in "TG":
        total += 4
    return ("JZIHGFEDCBA" if number[0] in "ST" else "XWUTRQPNMLK")[total % 11] == number[8]
