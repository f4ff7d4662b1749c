"""Words that name nothing of an item, per language.

`common_words` are the lists of the package `stopwordsiso` (they lie inside it), whole: function
words, but also words such as "case" that a part-of-speech tagger can tell apart. They are therefore
used only where there is no tagger. `EMPTY_NOUNS` and `PRAISE` are short and our own, written for
reviews: nouns that every review has ("thing", "product", "month") and adjectives that say only
that somebody liked it.
"""

from __future__ import annotations

from functools import cache

from stopwordsiso import has_lang, stopwords

from pipeline.language_tag import UNKNOWN


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


EMPTY_NOUNS: dict[str, frozenset[str]] = {
    "en": _listed(
        """
        thing way lot bit one something anything nothing everything someone anyone everyone product
        item purchase order money price buy deal star review reviewer customer seller amazon
        year month week day hour minute second time today yesterday tomorrow night morning while
        brother sister wife husband son daughter friend kid child guy people person man woman family
        mother father dad mom everybody nobody gift present birthday christmas kind sort type part
        reason problem issue question idea fact course point end start place side rest stuff
        number amount couple pair piece set example word opinion experience thought expectation
        recommendation complaint thanks thank hand life world need job work
        brand company model version doubt chance hope luck care mind sense use try look
        regret recommend love like worth value quality buck other matter glove surprise minutes line bottom
        favour favor while compliment
        """
    ),
    "de": _listed(
        """
        ding sache artikel produkt kauf bestellung geld preis stern rezension bewertung kunde
        jahr monat woche tag stunde minute sekunde zeit mal abend morgen nacht bruder schwester frau
        mann sohn tochter freund freundin kind leute familie geschenk art weise teil grund problem
        frage fall punkt ende anfang seite rest stück erwartung empfehlung dank erfahrung
        verkäufer händler marke firma modell version hand welt geburtstag weihnachten amazon kompromiss
            fehlkauf verhältnis leistung qualität gebrauch ware packung freude
        """
    ),
    "zh": _listed(
        """
        东西 产品 商品 宝贝 时候 时间 卖家 店家 商家 客服 快递 物流 朋友 弟弟 妹妹 哥哥 姐姐 妈妈 爸爸
        老公 老婆 孩子 家人 全家 人 我 你 他 她 它 大家 问题 感觉 钱 价格 价 星期 天 月 年 次 第一次
        礼物 评价 好评 差评 图片 牌子 品牌 地方 方面 点 个 款 有点 时 事 原因 一般 总体 整体 发货 收到
        购买 推荐 期望 预期 第一天 活动 双十一 京东 淘宝 性价比 没想到 想到 出乎意料 联系 小时 分钟
        晚上 早上 下雨天 质量 满意度 电话 生产 起来 下来
        """
    ),
}

PRAISE: dict[str, frozenset[str]] = {
    "en": _listed(
        """
        good great nice easy excellent amazing awesome fantastic wonderful perfect best better fine ok
        okay happy glad pleased satisfied disappointed bad worse worst terrible horrible awful lovely
        superb outstanding brilliant decent cool favorite favourite beautiful incredible
        sure able available other same different new old first second third last next many much more
        most few several own whole only such certain main various full right wrong real true extra
        additional current possible several former latter previous
        """
    ),
    "de": _listed(
        """
        gut gute guter gutes guten toll tolle tolles toller super schön schöne schöner schönes perfekt
        perfekte perfekter perfektes klasse prima spitze top begeistert zufrieden schlecht schlechte
        schlechter schlechtes enttäuscht enttäuschend ok okay genial hervorragend hervorragende
        ausgezeichnet anderen andere anderer anderes neue neuer neues neuen gleich gleiche ganze
        ganzen einzige einzig erste ersten zweite zweiten nächste nächsten letzte letzten
        """
    ),
    "zh": _listed(
        """
        好 不错 很好 很棒 棒 完美 满意 喜欢 赞 优秀 差 很差 糟糕 失望 值得 行 可以 一样 普通 一般 新
        大 小 多 少 真 对 老 主要 全 合适
        """
    ),
}

# What Spanish reviews say of everything; Spanish has no tagger here.
_SPANISH = _listed(
    """
    buen buena buenas bueno buenos calidad compra comprado comprar compro compré contenta contento
    encanta encantada encantado excelente familia genial gracias gusta perfecta perfecto precio
    producto recomendable recomiendo regalo hermano amigos semana minuto minutos esperado esperaba
    arrepiento volvería buscaba llevo diario convenció contado relación maravilla acertada usa uso
    venir noche fecha exacta justo rápido fácil enamoré durado hecho queda quedan dos tres siempre
    """
)


@cache
def common_words(language: str) -> frozenset[str]:
    """The package's list of a language; of every language that ships here where it is unknown."""
    if language == UNKNOWN:
        listed = (common_words(name) for name in ("en", "de", "es", "fr", "zh"))
        return frozenset().union(*listed, *EMPTY_NOUNS.values(), *PRAISE.values())
    found = frozenset(stopwords(language)) if has_lang(language) else frozenset[str]()
    return found | _SPANISH if language == "es" else found
