"""What the words around a number say it is: a phone, or something else with many digits.

The nearest word wins, before the number rather than after it. A word for a phone may stand up to
three words away; a word for something else (order, parcel, model) only right beside the number, or
with no more than "no.", "number", "is" and the like between: in "the parcel is lost, 0171 2345678"
a phone was left. A missed phone is worse than an altered order number. Words are those of some
thirty languages; a word of a script without spaces counts inside other words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

PHONE, OTHER, NONE = "phone", "other", ""

_REACH_BEFORE, _REACH_AFTER = 44, 26


def _as_seen(words: str) -> str:
    """Words as `plain_text` shows them: Thai's "ำ" is two characters to it."""
    return unicodedata.normalize("NFKC", words)


_PHONE_WORDS = (
    r"zalo|imo|botim|wechat|wx|vx|kakao\w*|imessage|телег\w*|тг|(?:my|ma|me) num|num is|contatt\w*|wp(?=\W)|hatt[ıi]m\w*|handphone|hp(?=(?: no)?\s?[:.])|хабарлас\w*|қоңырау\w*|(?<!sipariş )(?<!siparis )(?<!takip )numaram\w*|m(?:era|eri) (?:number|no|num)|"
    r"m[ou]j broj|moje? (?:číslo|cislo)|mitt (?:nummer|nr)|num[ăa]rul meu|minu number|νούμερ\w*|num[ée]ro perso\w*|"
    r"shoot me|holler|tel(?! aviv)|telf|tlf|tfn|tfno|phones?|telephone|t[ée]l[ée]phone|telefon\w*|tel[ée]fon[oea]s?|telefoon\w*|"
    r"ph|mob|mobile?|mobilnr|mobilnummer|m[óo]vil|m[óo]viles|cel|celular|cell|cellulare|cellphone|"
    r"portable|handy\w*|gsm|kom|kom[óo]rk[aię]|whats ?app|wa|wsp|wpp|zap|zapzap|viber|signal|telegram|sms|"
    r"text|call|calling|ring|ringa|ringe|dial|fax|faks|contact(?:ez|o|ar|ame)?|kontakt\w*|reach|"
    r"my (?:number|no|nr|digits|\#)|mon num[ée]ro|mi n[úu]mero|meu n[úu]mero|il mio numero|"
    r"(?:meine|mijn|min|mit) (?:nummer|nr)|m[óo]j numer|мой номер|мій номер|appel(?:le|ez|er|lez)[ -]?(?:moi)?|joindre|"
    r"joignable|ll[áa]m\w{1,6}|llama(?:r|dme)?|r?appel\w{0,3}[ -]moi|rappel(?:er|ez)|escr[íi]b[ea]me|ligar|liguem?|liga|(?:ri)?chiam\w{1,7}|bel|bellen|terugbel\w*|"
    r"bereikbaar|anruf\w*|ruf\w*|erreich\w*|(?:za|od)?dzwo[ńn]\w*|numer telefonu|"
    r"hotline|helpline|landline|festnetz\w*|fixe|fijo|numero verde|ara|hubungi|telepon|sđt|"
    r"điện thoại|gọi|тел|телефон\w*|т|моб|мобильн\w*|сотов\w*|звон\w*|(?:по|пере)звон\w*|набер\w*|вотсап\w*|ватсап\w*|"
    r"(?:по|пере)?дзвон\w*|(?:за)?телефон\w*|τηλ|τηλέφωνο|τηλεφων\w*|καλέσ\w*|κινητό|тлф|puhelin\w*|puh|soitta\w*|soita\w*|(?:za)?vol(?:ej|aj)\w*|mobiln[íi]|nazovi\w*|"
    r"h[íi]vj\w*|h[íi]vhat\w*|hit me up|hmu|drop me a line|r[üu]ckruf|melde\w* (?:\w{1,6} )?unter|natel|t[āa]lr\w*|(?:pie)?zvan\w*|(?:pa)?skambin\w*|"
    r"helista\w*|s[íi]mi|s[íi]man[úu]mer\w*|hring\w*|zovite|javite|pokli[čc]\w*|suna[țtţ]i|обад\w*|"
    r"зв[ъo]н\w*|telefonsz[áa]m\w*|aray[ıi]n\w*|arar m[ıi]s\w*|beni ara|piga simu|telp|tlp|liên hệ|simu|nomor (?:saya|hp|wa)|no hp|fono"
)
_PHONE_UNSPACED = (
    "电话|電話|手机|手機|回电|回電|打给|打給|联系|聯繫|聯絡|致电|微信|携帯|連絡|전화|핸드폰|휴대폰|연락|โทร|เบอร์|ติดต่อ|फोन|फ़ोन|मोबाइल|कॉल|(?:मेरा|मेरे|मेरी|हमारा|फोन|मोबाइल) नंबर|"
    "هاتف|جوال|اتصل|كلموني|رقمي|موبايل|واتساب|طلپون|تلفن|موبایل|تماس|فون|טלפון|נייד|התקשר|תקשר|חייג|ফোন|মোবাইল|ტელ|მობ|დარეკ|დამირეკ|ნომერ|утас|հեռ|ስልክ|"
    "தொலைபேசி|ఫోన్|දුරකථන"
)
_OTHER_WORDS = (
    r"obj(?=\.? ?č)|warrant\w*|guarantee|garant\w*|гарант\w*|registration|licen[cs]e|certificate|best(?=\.? ?n)|mã đơn(?: hàng)?|mfg|mfr|rgb|cmyk|ral|pantone|isbn|issn|ean|upc|gtin|asin|sku|mpn|oem|imei|meid|iccid|eid|serial\w*|seri[ea]\w*|sn|s/n|p/n|pn|part|"
    r"parts|teile\w*|art|artikel\w*|article|articolo|art[íi]culo|artigo|item|model|modell\w*|modelo|"
    r"mod[èe]le|modello|product|produkt\w*|prod|order\w*|bestell\w*|bestel\w*|auftrag\w*|commande|cde|"
    r"pedidos?|ordine|ordre\w*|encomenda|zam[óo]wieni\w*|zam|заказ\w*|purchase|po|transaction|pnr|protocolo?|protokoll|transaktion\w*|"
    r"transacci[óo]n|txn|booking|buchung\w*|reservation|invoice|rechnung\w*|facture|factura|fattura|"
    r"fatura|faktur\w*|factuur\w*|nota fiscal|nf-?e|сч[её]т\w*|накладн\w*|receipt|quittung|beleg\w*|"
    r"track\w*|parcel|package|shipment|consignment|awb|waybill|sendung\w*|paket\w*|colis|colissimo|suivi|"
    r"lieferschein\w*|vorgang\w*|sp[åa]rnings\w*|sporings\w*|pakke(?:n|nummer\w*)?|l[äa]hety[sk]\w*|z[áa]silk\w*|csomag\w*|"
    r"kargo\w*|takip|sipari[şs]\w*|rendel[ée]s\w*|objedn[áa]v\w*|comand[aăe]\w*|comenzi\w*|поръчк\w*|замовлен\w*|narud[žz]b\w*|"
    r"porud[žz]bin\w*|naro[čc]il\w*|u[žz]sakym\w*|pas[ūu]t[īi]jum\w*|tellimus\w*|tilau[sk]\w*|bestilling\w*|"
    r"αποστολ\w*|παραγγελ\w*|albar[áa]n\w*|gu[íi]a|delivery note|packing slip|resi|pesanan|mã vận đơn|đơn hàng|"
    r"env[íi]o|seguimiento|rastrei\w*|rastreamento|spedizione|tracciamento|pacco|przesy[łl]k\w*|paczk\w*|"
    r"paquete|encomienda|colet\w*|bal[íi]k\w*|пратк\w*|посилк\w*|po[šs]iljk\w*|siunt\w*|s[ūu]t[īi]jum\w*|saadetis\w*|"
    r"paketti\w*|best[äa]llning\w*|pöntun\w*|захиалга|pakk|paki|zending\w*|pakket\w*|трек\w*|посылк\w*|отправлени\w*|ups|dhl|fedex|usps|dpd|gls|hermes|evri|inpost|postnl|"
    r"royal mail|correos|chronopost|ref|reference|referen[czt]\w*|r[ée]f[ée]rence|r[ée]f|ticket|case|rma|"
    r"claim|dossier|batch|lot|lote|charge|chargen\w*|code|kod|c[óo]digo|codice|voucher|coupon|gutschein\w*|"
    r"gift|kupon|promo|rabatt\w*|firmware|fw|version|ver|v|build|release|rev|revision|patent|pat|cas|hsn|"
    r"zip|postcode|plz|cep|barcode|bar code|strichcode|code-barres|c[óo]digo de barras|штрих\w*|артикул\w*|арт|"
    r"nummer seryjny|numer seryjny|seryjny|матрикул\w*|серийн\w*|customer (?:id|no|nr|number)|kunden-?(?:nr|nummer|id)\w*|(?:num[ée]ro|n[°ºo]) client|klant-?(?:nr|nummer)|"
    r"lasku\w*|kuitti\w*|s[aą]skait\w*|r[eē][kķ]in\w*|arve|ra[čc]un\w*|sz[áa]ml[áa]\w*|h[óo]a đơn|τιμολ[όο]γι\w*|рахун\w*|фактур\w*|"
    r"чек\w*|paragon\w*|договор\w*|contract|contrat|contrato|contratto|vertrag\w*|umow[ay]|policy|police|p[óo]liza|apólice|"
    r"account|konto\w*|member|membership|loyalty|ece|norme?n?|gost|гост|vat|ust\w*|tva|iva|btw|nip|regon|siret|siren|duns|abn|ein|"
    r"total|price|preis|prix|precio|pre[çc]o|prezzo|cena|цен\w*|стоит|costs?|paid|kostet|kosten|co[ûu]te|"
    r"cuesta|odometer|mileage|distance|kilometers?|population|views|timestamp|unix|epoch|hash|checksum|"
    r"commit|pin|plu|din|iso|iec|isin|wkn|cusip|swift|doi|pmid|arxiv|oclc|lccn|id|uid|uuid|mac|nr kat|"
    r"katalog\w*|cat|catalog\w*|style|stil|sizes?|gr[öo](?:ß|ss)en?|tailles?|pointures?|tallas?|tamanhos?|taglie|maten|maat|rozmiar\w*|размер\w*|størrelse\w*|storlek\w*|color|colour|farbe|sequence|pi|resolution|quantity|qty"
)
_OTHER_UNSPACED = (
    "订单|訂單|注文|주문|운송장|快递|快遞|运单|单号|追跡|発票|发票|编号|型号|型番|品番|条码|序列号|ऑर्डर|ट्रैकिंग|رقم الطلب|"
    "الطلب|طلبية|الشحنة|شحنة|التتبع|فاتورة|سفارش|مرسوله|رهگیری|فاکتور|הזמנה|משלוח|חשבונית|מעקב|พัสดุ|คำสั่งซื้อ|"
    "ใบเสร็จ|ใบสั่งซื้อ|伝票|納品書|物流|款号|款號|發票|송장|모델|시리얼|पार्सल|चालान|অর্ডার|பார்சல்|ఆర్డర్|შეკვეთა|պատվեր"
)
_LABEL = re.compile(
    rf"(?P<phone>(?<![^\W_])(?:{_PHONE_WORDS})(?![^\W\d_])|{_as_seen(_PHONE_UNSPACED)}|[☎📞📱✆☏])"
    rf"|(?P<other>(?<![^\W_])(?:{_OTHER_WORDS})(?![^\W\d_])|{_as_seen(_OTHER_UNSPACED)}|\#(?=\s?\Z))"
)
_BREAK = re.compile(r"[.!?;]\s|\n|[;|]")
_ABBREVIATED = re.compile(r"(?<![^\W_])(?:\w{1,5}|\w+(?:nr|no|num|nummer))\.\s\Z")
# What may stand between the word for an order and its number.
_NUMBER_NOUNS = (
    r"clients?|cliente|kunden?|klant\w*|customer|klient\w*|nos?|nr|nro|nbr|n(?:\.?o)?|n[uú]ms?|n[uú]mb?er\w*|nummer\w*|num[eé]r\w*|n[uú]m[eă]r\w*|numurs|numeris|numara\w*|номер\w*|ном|"
    r"č|čís|č[ií]sl\w*|c[ií]sl\w*|št|[šs]tevilk\w*|br|broj\w*|sz|sz[aá]m\w*|αρ|αριθμ\w*|nomor|nomer|số|"
    r"ids?|codes?|c[oó]digo|codice|kod\w*|key|barkod\w*|barcodes?|tracking|takip|track|ref|reference|referen[czt]\w*|"
    r"r[ée]f[ée]rence|confirmation|slip|note|product|produit|produto|produkt\w*|producto|prodotto|tuote\w*|item"
)
_NUMBER_NOUNS_UNSPACED = (
    "号码?|號碼?|番号|编号|編號|번호|หมายเลข|เลขที่|เลข|رقمه|رقم|מספר|מס'?|क्रमांक|संख्या|"
    "नंबर|നമ്പർ|নম্বর|নাম্বার"
)
_VERBS = r"is|was|ist|war|lautet|est|es|é|è|er|är|on|jest|to|je|este|olan|là|foi|fue|adalah"
_VERBS_UNSPACED = "是|为|為|は|는|은|คือ|है|هو|هي|הוא|היא"
_GLUE = r"of|de|del|do|da|di|du|des|dello|della|von|van|with|mit|the|its|o|a|os|as|uw|der|dem|con|com|avec|le|la|il|el|med|met|z|s|sa|cu|под|с|за|με|dengan"
_SIGNS = r"[\s:#=(\[*\"'«„/._°+\-]{0,4}"
_NOUN = rf"(?:(?:{_NUMBER_NOUNS})(?![^\W\d_])|{_NUMBER_NOUNS_UNSPACED})"
_NEXT_TO = re.compile(
    rf"(?!\s-\s){_SIGNS}(?P<noun>(?:(?:{_NOUN}|(?:{_GLUE})(?![^\W\d_])){_SIGNS}){{0,3}}{_NOUN}{_SIGNS})?"
    rf"(?:(?:(?:{_VERBS})(?![^\W\d_])|{_VERBS_UNSPACED}){_SIGNS})?"
)
_FIRST_DIGITS = re.compile(r"(?<![0-9])(?:[0-9]{1,6}[ .\-/()]{1,2}){1,3}\Z")
_FIRST_FOURS = re.compile(r"(?<![0-9])(?:[0-9]{4}[ \-]){1,3}\Z")
_FOUR = re.compile(r"[0-9]{4}(?![0-9])")
_NAMES_NUMBERS = re.compile(
    r"(?:n[uú]mm?[eéaă]\w*|nr|sz[áa]m\w*|tunnus|[- ]?id|ref|awb|pnr|sku|番号|号|번호|编号|編號|單號)\Z"
)
# Behind these a full stop ends no sentence.
_SHORTENED = re.compile(
    r"(?:(?:bestell|art|ref|réf|prod|inv|mod|ser|pat|cat|ord|cde|zam|арт|nr|no|po|pn|sn|pos|proc|rech|auftr|nf-?e|kat)|"
    r"\w+(?:nr|no|num))\Z"
)
# Whose words for orders and parcels these are: numbers that nothing else tells from others.
_SPOKEN_IN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"kargo\w*|sipari[şs]\w*", ("TR",)),
    (r"csomag\w*|rendel[ée]s\w*", ("HU",)),
    (r"comand[aăe]\w*|comenzi\w*|colet\w*", ("RO",)),
    (r"tilau[sk]\w*|l[äa]hety[sk]\w*|paketti\w*|paketin", ("FI",)),
    (r"bestilling\w*|pakke[nr]?|ordre\w*", ("NO", "DK")),
    (r"best[äa]llning\w*|paketet|leveransen", ("SE",)),
    (r"tellimus\w*|saadetis\w*|pakk|paki", ("EE",)),
    (r"pas[ūu]t[īi]jum\w*|s[ūu]t[īi]jum\w*", ("LV",)),
    (r"u[žz]sakym\w*|siunt\w*", ("LT",)),
    (r"pöntun\w*|sendingin", ("IS",)),
    (r"objedn[áa]v\w*|z[áa]silk\w*|bal[íi]k\w*", ("CZ", "SK")),
    (r"zam[óo]wieni\w*|przesy[łl]k\w*|paczk\w*", ("PL",)),
    (r"narud[žz]b\w*|porud[žz]b\w*|po[šs]iljk\w*|naro[čc]il\w*", ("HR", "RS", "SI")),
    (r"поръчк\w*|пратк\w*", ("BG",)),
    (r"замовлен\w*|посилк\w*", ("UA",)),
    (r"заказ\w*|посылк\w*|отправлени\w*", ("RU", "BY", "KZ")),
    (r"παραγγελ\w*|αποστολ\w*|δέμα", ("GR", "CY")),
    (r"lieferschein\w*|bestellung\w*|sendung\w*|vorgang\w*", ("DE", "AT", "CH")),
    (r"commande\w*|colis", ("FR", "BE", "LU", "CH")),
    (r"bestelling\w*|pakket\w*|zending\w*", ("NL", "BE")),
    (r"pedidos?|paquetes?|env[íi]os?|albar[áa]n|gu[íi]a|encomienda", ("ES", "PE", "CL", "CO", "EC", "UY")),
    (r"pedidos?|encomendas?", ("PT", "BR")),
    (r"ordine|pacco|spedizione", ("IT",)),
    (r"pesanan\w*|resi|paket", ("ID",)),
    (r"đơn hàng|mã vận đơn|kiện hàng", ("VN",)),
)  # fmt: skip
_SPOKEN_UNSPACED_IN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("订单|快递|运单|包裹", ("CN",)),
    ("訂單|快遞|運單|包裹", ("TW", "HK")),
    ("注文|荷物", ("JP",)),
    ("주문|운송장|택배", ("KR",)),
    ("พัสดุ|คำสั่งซื้อ", ("TH",)),
    ("הזמנה|החבילה|חבילה", ("IL",)),
    ("الطلب|طلبي|الشحنة", ("SA", "AE", "EG", "MA")),
    ("ऑर्डर|पार्सल", ("IN",)),
)
_SPOKEN = tuple(
    (re.compile(pattern), regions)
    for pattern, regions in (
        *((rf"(?<![^\W_])(?:{words})(?![^\W\d_])", regions) for words, regions in _SPOKEN_IN),
        *((_as_seen(words), regions) for words, regions in _SPOKEN_UNSPACED_IN),
    )
)
_ANY_SPOKEN = re.compile("|".join(words.pattern for words, _ in _SPOKEN))
_IS = re.compile(
    r"\W*(?:(?:is|was|are|ist|war|est|es|é|è|to|jest)\W+)?(?:(?:the|my|our|mein\w*|mon|ma|mi|la|el|o|a|il|n)\W+)?"
)
_WORD = re.compile(r"[^\W\d_]+")
_MONEY_BEFORE = re.compile(
    r"(?:[$€£¥₹₽₺₩₴₦฿₫]|\b(?:eur|euro|usd|gbp|inr|rs|brl|pln|rub|chf|jpy|cny|rmb|sek|nok|dkk|czk|huf|mxn|"
    r"cad|aud|idr|rp|krw|vnd|try|clp|cop|ars|zar))\.?\s?$"
)
_UNIT_AFTER = re.compile(
    r"\s?(?:[$€£¥₹₽₺₩₴₦฿₫%°²³]|(?:eur|euros?|usd|dollars?|gbp|pounds?|inr|rupees?|rupien|brl|reais|pln|"
    r"z[łl]|złotych|rub|руб\w*|р\.|chf|jpy|yen|cny|yuan|sek|nok|dkk|kr|kronor|kč|czk|huf|ft|mxn|pesos?|won|"
    r"cad|aud|idr|tl|mah|wh|kwh|mm|cm|m|km|kms|kg|gr?|mg|ml|mb|gb|tb|kb|bytes?|hz|khz|mhz|ghz|px|dpi|rpm|lm|"
    r"lumens?|cd|watts?|volts?|views?|visits?|followers?|users?|people|personen|steps?|schritte|cycles?|"
    r"einwohner|inhabitants|habitants|habitantes|downloads?|likes|subscribers?|copies|units?|pcs|pieces|"
    r"st[üu]ck|hours?|stunden|heures|miles|years?|jahre|seconds|ms|times|keystrokes|clicks|words|stars|sterne|photos?|songs?|pictures|pics|files|fotos?|bilder|"
    r"customers|million\w*|millones|м\b|км|кг|мм|шт\w*|元|円|원|万|億|人|次|公里)(?![^\W_]))"
)


def label(text: str, start: int, end: int) -> str:
    """`PHONE`, `OTHER` or `NONE`: what stands around the number at `text[start:end]`."""
    said, is_sure, calls = _label_in(_before(text, start))
    if not said:
        return _label_after(text, end)
    if said == OTHER and not is_sure and re.search(r"[0-9][^0-9]+[0-9]", text[start:end]):
        # "Call me about the parcel 07700 900123": in groups, its shape has to say.
        return NONE if calls or _label_after(text, end) == PHONE else OTHER
    return said


def label_before(text: str, start: int) -> str:
    """`PHONE`, `OTHER` or `NONE`: the nearest word before a number that says what it is."""
    return _label_in(_before(text, start))[0]


def regions_spoken(text: str, start: int, end: int) -> tuple[str, ...]:
    """The countries whose words for orders and parcels stand around the number, none for most."""
    return _regions_in(f"{_before(text, start)}\n{text[end : end + _REACH_AFTER].lower()}")


@lru_cache(maxsize=4096)
def _regions_in(around: str) -> tuple[str, ...]:
    if not _ANY_SPOKEN.search(around):
        return ()
    return tuple(r for words, regions in _SPOKEN if words.search(around) for r in regions)


def _before(text: str, start: int) -> str:
    if text[start : start + 1] not in ("0", "+"):
        # A piece of a number is asked about: its first digits lie between.
        first = _FIRST_DIGITS.search(text, max(0, start - 24), start)
        start = first.start() if first else start
    elif _FOUR.match(text, start):
        # "Lot 4711 0815 2023": so is one that begins with 0 where all pieces have four digits.
        first = _FIRST_FOURS.search(text, max(0, start - 24), start)
        start = first.start() if first else start
    return text[max(0, start - _REACH_BEFORE) : start].lower()


@lru_cache(maxsize=4096)
def _label_in(before: str) -> tuple[str, bool, bool]:
    """The label; whether a word for numbers says so too; whether a phone is spoken of as well."""
    for stop in _BREAK.finditer(before):
        # "Tel.", "Nr." and "no." are no ends of sentences.
        if not _ABBREVIATED.search(before, 0, stop.end()):
            before = " " * stop.end() + before[stop.end() :]
    found, is_sure, calls = NONE, False, False
    for match in _LABEL.finditer(before):
        between = before[match.end() :]
        if match[0] == "#" and found == PHONE:
            continue  # "phone #"
        if match.lastgroup == "other":
            next_to = _NEXT_TO.fullmatch(between)
            if not next_to or (
                re.match(r"\.\s", between) and not _SHORTENED.search(match.group("other"))
            ):
                continue
            found = OTHER
            is_sure = bool(
                next_to["noun"]
                or re.search("[:#=]", between)
                or "#" in match[0]
                or _NAMES_NUMBERS.search(match[0])
            )
        else:
            calls = True
            if len(_WORD.findall(between)) <= 3 and not re.search(r"\d{5}", between):
                found = PHONE
    return found, is_sure, calls


def _label_after(text: str, end: int) -> str:
    return _label_at(text[end : end + _REACH_AFTER].lower())


@lru_cache(maxsize=4096)
def _label_at(after: str) -> str:
    after = _BREAK.split(after, maxsplit=1)[0]
    match = _LABEL.search(after)
    if match and not re.search(r"\d{3}", after[: match.start()]):
        if match.lastgroup == "phone":
            return PHONE
        if len(match[0]) < 3 and match[0] != "#":
            return NONE  # "po 18" is "after six" in Polish
        # "… is my order number", but not "… for the invoice".
        return OTHER if _IS.fullmatch(after[: match.start()]) else NONE
    return NONE


def is_amount(text: str, start: int, end: int) -> bool:
    """Whether a currency stands before or a unit after the number at `text[start:end]`."""
    before = text[max(0, start - 8) : start].lower()
    after = text[end : end + 14].lower()
    return bool(_MONEY_BEFORE.search(before) or _UNIT_AFTER.match(after))
