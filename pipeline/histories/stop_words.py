"""Words that say nothing of an item, for the languages that ship.

Written for reviews: beside the articles and pronouns, the words that every satisfied shopper uses
of everything ("great", "bought", "empfehlen"). A language without a list keeps all its words;
scoring by how few items share a word already pushes such words down.
"""

from __future__ import annotations

_ENGLISH = """
a about after again all almost already also although always am an and another any anything are
aren't around as at back be because been before being better both but by came can can't cannot come
could couldn't did didn't do does doesn't doing don't done down each either else enough even ever
every everything few find first for from get gets getting give go goes going got had hadn't has
hasn't have haven't having he her here hers him his how i i'd i'll i'm i've if in instead into is
isn't it it's its itself just keep know less let like little look looks lot lots made make makes
many may maybe me might mine more most much must my myself need needs never new next no none nor not
nothing now of off often on once one ones only or other others our out over own per put quite rather
really right said same say see seem seems she should shouldn't since so some something soon still
such sure take than that that's the their them then there these they they're thing things think this
those though through time times to too took tried try two under until up upon us use used using
usually very want wanted was wasn't way we well went were weren't what when where which while who
why will wish with within without won't work works would wouldn't yes yet you you're your yours
amazing awesome bad best bought buy buying excellent fantastic fine glad good great happy love loved
loves nice order ordered perfect perfectly pleased price product purchase purchased quality
recommend recommended review reviews satisfied star stars thank thanks wonderful worth
day days expected exactly family minute minutes month months second seconds week weeks year years
"""

_GERMAN = """
aber alle allem allen aller alles als also am an andere anderen auch auf aus bei beim bereits bin
bis bisher bisschen da dabei dadurch dafür damit danach dann daran darauf das dass dazu dein dem den
denn der des deshalb die dies diese diesem diesen dieser dieses doch dort du durch eben ein eine
einem einen einer eines einfach einmal er es etwas euch für ganz gar geht genau gibt gut habe haben hat hatte
hatten hier hin ich ihm ihn ihnen ihr ihre ihren im immer in ins ist ja jede jeden jeder jedes jetzt
kann kein keine keinen können man mein meine meinem meinen meiner mehr mich mir mit muss nach nicht
nichts noch nun nur ob oder ohne schon sehr sein seine seit sich sie sind so sogar sollte sondern
sonst trotzdem über um und uns unser unter viel viele vom von vor war waren warum was weil weiter
welche wenn wer werden wie wieder will wir wird wirklich wo wurde würde zu zum zur zwar zwei
absolut begeistert bestellt danke empfehlen empfehlung erwartet erwartung familie gekauft gerne gute guten guter gutes kauf kaufen leider
perfekt preis produkt qualität schön sterne super tag tage toll tolle top wochen zufrieden
"""

_SPANISH = """
a además ahora al algo alguna algunas alguno algunos ante antes aquí así aún aunque bien cada casi
como con contra cual cuando de del desde después donde dos durante esperaba e el él ella ellas ellos en entre
era eran es esa ese eso esta está están estaba estar estas este esto estos fue fuera fueron ha había han
has hasta hay he hemos la las le les lo los luego más me mejor menos mi mis mientras mucha muchas
mucho muchos muy nada ni no nos nosotros nuestra nuestro o os otra otras otro otros para pero poco
por porque pues que qué quien se sea según ser si sí sido siempre sin sino sobre solo sólo son soy
su sus también tan tanto te tengo tiene tienen toda todas todavía todo todos tras tu tus un una unas
uno unos usar ya yo
buen buena buenas bueno buenos calidad compra comprado comprar compro compré contenta contento día días
encanta excelente familia genial gracias gusta perfecta perfecto precio producto recomendable recomiendo segundo segundos usa uso
"""

# Whole clauses, as `item_words` cuts Chinese.
_CHINESE = """
不错 很不错 非常不错 好评 五星好评 喜欢 很喜欢 非常喜欢 很好 非常好 挺好 完美 满意 很满意 非常满意
推荐 强烈推荐 值得 值得推荐 值得购买 物有所值 质量很好 质量不错 物流很快 性价比高 性价比很高 谢谢
"""

# One string a language, words apart by one space.
STOP_WORDS: dict[str, str] = {
    "de": " ".join(_GERMAN.split()),
    "en": " ".join(_ENGLISH.split()),
    "es": " ".join(_SPANISH.split()),
    "zh": " ".join(_CHINESE.split()),
}
