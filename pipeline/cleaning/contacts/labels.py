"""What the words around a number say it is: a phone, or something else with many digits.

The nearest word wins, before the number rather than after it. Words are those of some twenty
languages; a word of a script without spaces counts inside other words.
"""

from __future__ import annotations

import re
from functools import lru_cache

PHONE, OTHER, NONE = "phone", "other", ""

_REACH_BEFORE, _REACH_AFTER = 44, 26

_PHONE_WORDS = (
    r"tel(?! aviv)|telf|tlf|tfn|tfno|phones?|telephone|t[ée]l[ée]phone|telefon\w*|tel[ée]fon[oea]s?|telefoon\w*|"
    r"ph|mob|mobile?|mobilnr|mobilnummer|m[óo]vil|m[óo]viles|cel|celular|cell|cellulare|cellphone|"
    r"portable|handy\w*|gsm|kom|kom[óo]rk[aię]|whats ?app|wa|wsp|wpp|zap|zapzap|viber|signal|telegram|sms|"
    r"text|call|calling|ring|ringa|ringe|dial|fax|faks|contact(?:ez|o|ar|ame)?|kontakt\w*|reach|"
    r"my (?:number|no|nr|digits|\#)|mon num[ée]ro|mi n[úu]mero|meu n[úu]mero|il mio numero|"
    r"(?:meine|mijn|min|mit) (?:nummer|nr)|m[óo]j numer|мой номер|мій номер|appel(?:le|ez|er|lez)[ -]?(?:moi)?|joindre|"
    r"joignable|ll[áa]m\w{1,6}|llama(?:r|dme)?|escr[íi]b[ea]me|ligar|ligue|liga|chiam\w{1,6}|bel|bellen|"
    r"bereikbaar|anruf\w*|ruf\w*|erreichbar\w*|zadzwo[ńn]\w*|dzwo[ńn]\w*|numer telefonu|"
    r"hotline|helpline|landline|festnetz\w*|fixe|fijo|numero verde|ara|hubungi|telepon|sđt|"
    r"điện thoại|gọi|тел|телефон\w*|т|моб|мобильн\w*|сотов\w*|звон\w*|позвон\w*|вотсап\w*|ватсап\w*|"
    r"дзвон\w*|τηλ|τηλέφωνο|κινητό|тлф|puhelin\w*|puh|soita\w*|za?volejte|volejte|mobiln[íi]|nazovi\w*|"
    r"hívj\w*|hit me up|hmu|drop me a line|r[üu]ckruf|melde\w* (?:\w{1,6} )?unter|natel|t[āa]lr\w*|zvan\w*|skambin\w*|"
    r"helista\w*|s[íi]mi|s[íi]man[úu]mer\w*|hring\w*|zavolajte|zovite|pokli[čc]\w*|suna[țtţ]i|обад\w*|"
    r"зв[ъo]н\w*|telefonsz[áa]m\w*|arayın|piga simu|simu|nomor (?:saya|hp|wa)|no hp|fono"
)
_PHONE_UNSPACED = (
    "电话|電話|手机|手機|联系|聯絡|致电|微信|携帯|連絡|전화|핸드폰|휴대폰|연락|โทร|เบอร์|फोन|फ़ोन|मोबाइल|कॉल|नंबर|"
    "هاتف|جوال|اتصل|موبايل|واتساب|طلپون|تلفن|موبایل|تماس|فون|טלפון|נייד|התקשר|ফোন|মোবাইল|ტელ|მობ|დარეკ|დამირეკ|ნომერ|утас|հեռ|ስልክ|"
    "தொலைபேசி|ఫోన్|දුරකථන"
)
_OTHER_WORDS = (
    r"isbn|issn|ean|upc|gtin|asin|sku|mpn|oem|imei|meid|iccid|eid|serial\w*|seri[ea]\w*|sn|s/n|p/n|pn|part|"
    r"parts|teile\w*|art|artikel\w*|article|articolo|art[íi]culo|artigo|item|model|modell\w*|modelo|"
    r"mod[èe]le|modello|product|produkt\w*|prod|order\w*|bestell\w*|bestel\w*|auftrag\w*|commande|cde|"
    r"pedidos?|ordine|ordre\w*|encomenda|zam[óo]wieni\w*|zam|заказ\w*|purchase|po|transaction|pnr|protocolo?|protokoll|transaktion\w*|"
    r"transacci[óo]n|txn|booking|buchung\w*|reservation|invoice|rechnung\w*|facture|factura|fattura|"
    r"fatura|faktur\w*|factuur\w*|nota fiscal|nf-?e|сч[её]т\w*|накладн\w*|receipt|quittung|beleg\w*|"
    r"track\w*|parcel|package|shipment|consignment|awb|waybill|sendung\w*|paket\w*|colis|colissimo|suivi|"
    r"lieferschein\w*|vorgang\w*|sp[åa]rnings\w*|sporings\w*|pakkenummer|l[äa]hetys\w*|z[áa]silk\w*|csomag\w*|"
    r"kargo|takip|sipari[şs]\w*|rendel[ée]s\w*|objedn[áa]v\w*|comand[aăe]\w*|поръчк\w*|замовлен\w*|narud[žz]b\w*|"
    r"porud[žz]bin\w*|naro[čc]il\w*|u[žz]sakym\w*|pas[ūu]t[īi]jum\w*|tellimus\w*|tilaus\w*|bestilling\w*|"
    r"αποστολ\w*|παραγγελ\w*|albar[áa]n\w*|gu[íi]a|delivery note|packing slip|resi|pesanan|mã vận đơn|đơn hàng|"
    r"env[íi]o|seguimiento|rastrei\w*|rastreamento|spedizione|tracciamento|pacco|przesy[łl]k\w*|paczk\w*|"
    r"zending|pakket|трек\w*|посылк\w*|отправлени\w*|ups|dhl|fedex|usps|dpd|gls|hermes|evri|inpost|postnl|"
    r"royal mail|correos|chronopost|ref|reference|referen[czt]\w*|r[ée]f[ée]rence|r[ée]f|ticket|case|rma|"
    r"claim|dossier|batch|lot|lote|charge|chargen\w*|code|kod|c[óo]digo|codice|voucher|coupon|gutschein\w*|"
    r"gift|kupon|promo|rabatt\w*|firmware|fw|version|ver|v|build|release|rev|revision|patent|pat|cas|hsn|"
    r"zip|postcode|plz|cep|barcode|bar code|strichcode|code-barres|c[óo]digo de barras|штрих\w*|артикул\w*|арт|"
    r"nummer seryjny|numer seryjny|seryjny|матрикул\w*|серийн\w*|customer (?:id|no|nr|number)|kunden-?(?:nr|nummer|id)\w*|(?:num[ée]ro|n[°ºo]) client|klant-?(?:nr|nummer)|"
    r""
    r"account|konto\w*|member|membership|loyalty|ece|norme?n?|gost|гост|vat|ust\w*|tva|iva|btw|nip|regon|siret|siren|duns|abn|ein|"
    r"total|price|preis|prix|precio|pre[çc]o|prezzo|cena|цен\w*|стоит|costs?|paid|kostet|kosten|co[ûu]te|"
    r"cuesta|odometer|mileage|distance|kilometers?|population|views|timestamp|unix|epoch|hash|checksum|"
    r"commit|pin|plu|din|iso|iec|en|isin|wkn|cusip|swift|doi|pmid|arxiv|oclc|lccn|id|uid|uuid|mac|nr kat|"
    r"katalog\w*|cat|catalog\w*|style|stil|sizes?|gr[öo](?:ß|ss)en?|tailles?|pointures?|tallas?|tamanhos?|taglie|maten|maat|rozmiar\w*|размер\w*|størrelse\w*|storlek\w*|color|colour|farbe|sequence|pi|resolution|quantity|qty"
)
_OTHER_UNSPACED = (
    "订单|訂單|注文|주문|운송장|快递|快遞|运单|单号|追跡|発票|发票|编号|型号|型番|品番|条码|序列号|ऑर्डर|ट्रैकिंग|رقم الطلب|"
    "الطلب|הזמנה|พัสดุ|คำสั่งซื้อ"
)
_LABEL = re.compile(
    rf"(?P<phone>(?<![^\W_])(?:{_PHONE_WORDS})(?![^\W\d_])|{_PHONE_UNSPACED}|[☎📞📱✆☏])"
    rf"|(?P<other>(?<![^\W_])(?:{_OTHER_WORDS})(?![^\W\d_])|{_OTHER_UNSPACED}|\#(?=\s?\Z))"
)
_BREAK = re.compile(r"[.!?;]\s|\n|[;|]")
_ABBREVIATED = re.compile(r"(?<![^\W_])(?:\w{1,5}|\w+(?:nr|no|num|nummer))\.\s\Z")
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
    r"st[üu]ck|hours?|stunden|heures|miles|years?|jahre|seconds|ms|times|keystrokes|clicks|words|stars|sterne|"
    r"customers|million\w*|millones|м\b|км|кг|мм|шт\w*|元|円|원|万|億|人|次|公里)(?![^\W_]))"
)


def label(text: str, start: int, end: int) -> str:
    """`PHONE`, `OTHER` or `NONE`: what stands around the number at `text[start:end]`."""
    return label_before(text, start) or _label_after(text, end)


def label_before(text: str, start: int) -> str:
    """`PHONE`, `OTHER` or `NONE`: the nearest word before a number that says what it is."""
    return _label_in(text[max(0, start - _REACH_BEFORE) : start].lower())


@lru_cache(maxsize=4096)
def _label_in(before: str) -> str:
    for stop in _BREAK.finditer(before):
        # "Tel.", "Nr." and "no." are no ends of sentences.
        if not _ABBREVIATED.search(before, 0, stop.end()):
            before = " " * stop.end() + before[stop.end() :]
    found = NONE
    for match in _LABEL.finditer(before):
        between = before[match.end() :]
        if len(_WORD.findall(between)) <= 3 and not re.search(r"\d{5}", between):
            found = PHONE if match.lastgroup == "phone" else OTHER
    return found


def _label_after(text: str, end: int) -> str:
    return _label_at(text[end : end + _REACH_AFTER].lower())


@lru_cache(maxsize=4096)
def _label_at(after: str) -> str:
    after = _BREAK.split(after, maxsplit=1)[0]
    match = _LABEL.search(after)
    if match and not re.search(r"\d{3}", after[: match.start()]):
        if match.lastgroup == "phone":
            return PHONE
        # "… is my order number", but not "… for the invoice".
        return OTHER if _IS.fullmatch(after[: match.start()]) else NONE
    return NONE


def is_amount(text: str, start: int, end: int) -> bool:
    """Whether a currency stands before or a unit after the number at `text[start:end]`."""
    before = text[max(0, start - 8) : start].lower()
    after = text[end : end + 14].lower()
    return bool(_MONEY_BEFORE.search(before) or _UNIT_AFTER.match(after))
