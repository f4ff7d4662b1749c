"""What columns, tables, event types and answers are called, in the languages of many shops.

Names are compared word by word: `CustomerID`, `customer_id` and `customer-id` are one. A name that
has a listed word among others counts less than one that is the word. Standard library only.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SPLIT = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*|\d+|[^\W\d_a-zA-Z]+")


def plain(text: str) -> str:
    """A word without case, accents, blanks, underscores and hyphens."""
    bare = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", text.strip().lower().replace("ß", "ss"))
        if not unicodedata.combining(letter)
    )
    return re.sub(r"[\s_\-]+", "", bare)


@lru_cache(maxsize=4096)
def tokens(name: str) -> tuple[str, ...]:
    """The words of a name: `unixReviewTime` has three."""
    bare = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", name.replace("ß", "ss"))
        if not unicodedata.combining(letter)
    )
    return tuple(word.lower() for word in _SPLIT.findall(bare))


# Role -> names, the surest first in each line; those behind a `~` are weak by themselves.
_NAMES = {
    "user_id": """user; user id; userid; uid; customer; customer id; customerid; customer number;
        customer no; cust id; client id; shopper; shopper id; visitor id; visitorid; member id;
        memberid; buyer id; account id; reviewer id; reviewerid; person id; household key;
        household id; user pseudo id; full visitor id; anonymous id; author id; cardholder id;
        loyalty id; profile id; customer unique id; card number; kunde; kundennummer; kundennr;
        kunden id; kundenid; nutzer id; besteller; utilisateur; client; id client; numero client;
        acheteur; usuario; id usuario; usuario id; cliente; cliente id; id cliente; comprador;
        utente; id utente; klant; klantnummer; klant id; klient; klient id; musteri; musteri id;
        用户; 用户id; 用户编号; 会员; 会员id; 客户; 客户id; 买家; 顧客; 顧客id; 会員; ユーザー;
        пользователь; клиент; ~visitor; ~member; ~buyer; ~account; ~reviewer; ~author; ~email;
        ~e mail; ~nickname; ~username; ~domain userid""",
    "item_id": """item; item id; itemid; product; product id; productid; sku; asin; parent asin;
        article; article id; article no; product code; item code; stock code; stockcode; sku id;
        goods id; material number; product number; product no; artikel; artikelnummer; artikelnr;
        artikel nr; artikel id; produkt; produkt id; produktnummer; produit; produit id; id produit;
        reference; ref article; producto; producto id; id producto; codigo producto; produto;
        produto id; id produto; prodotto; id prodotto; codice prodotto; articolo; productnummer;
        artikelcode; produkt id; urun; urun id; 商品; 商品id; 商品编号; 商品コード; 宝贝; 宝贝id;
        品番; товар; id товара; артикул; lineitem sku; line item sku; movie id; book id; isbn;
        ~variant id; ~variation id; ~ean; ~gtin; ~upc; ~handle; ~goods; ~code; ~referencia; ~ref""",
    "time": """event time; timestamp; time stamp; ts; datetime; date time; event timestamp;
        event date; created at; createdat; created on; order date; purchase date; invoice date;
        order time; purchase timestamp; purchase time; occurred at; review time; review date;
        unix time; unix timestamp; unix review time; transaction date; transaction time; processed at; server time;
        date created; zeit; zeitpunkt; zeitstempel; bestelldatum; kaufdatum; rechnungsdatum;
        date commande; date achat; horodatage; fecha; fecha pedido; fecha compra; data pedido;
        data compra; data ordine; data acquisto; datum tijd; besteldatum; tarih; data zamowienia;
        时间; 时间戳; 日期; 下单时间; 行为时间; 日時; 購入日; 注文日; дата; время; ~time; ~date;
        ~day; ~datum; ~data; ~heure; ~hora; ~when; ~at; ~created; ~t""",
    "event_type": """event; event type; eventtype; event name; action; action type; behavior;
        behaviour; behavior type; behaviour type; behavior_type; interaction; interaction type;
        activity; activity type; verb; aktion; ereignis; ereignistyp; evenement; type evenement;
        evento; tipo evento; accion; acao; azione; gebeurtenis; akcja; eylem; 行为; 行为类型; 动作;
        事件; 行動; イベント; событие; действие; ~type; ~typ; ~tipo; ~name; ~op""",
    "order_id": """order id; orderid; order; order number; order no; invoice; invoice no; invoiceno;
        invoice number; invoice id; transaction id; transaction; transactionid; basket id; basket;
        receipt; receipt id; receipt no; ticket id; purchase id; cart id; bestellnummer; bestellung;
        bestell id; auftragsnummer; rechnungsnummer; rechnung; commande; numero commande; id commande;
        pedido; pedido id; id pedido; numero pedido; ordine; id ordine; bestelnummer; zamowienie;
        siparis; siparis no; 订单; 订单号; 订单id; 注文番号; 注文id; заказ; чек; ~document""",
    "session_id": """session; session id; sessionid; user session; visit id; visitid; ga session id;
        session token; domain sessionid; sitzung; sitzung id; sesion; sessao; sessione; sessie;
        会话; 会话id; セッション; сессия; ~visit""",
    "event_id": """event id; eventid; message id; messageid; hit id; insert id; event uuid;
        line id; line item id; order item id; ~uuid""",
    "sequence": """sequence; seq; event sequence; position; line number; line no; hit number;
        batch event index; order item number; ~index""",
    "quantity": """quantity; qty; units; item quantity; lineitem quantity; product quantity; menge;
        anzahl; stuck; stuckzahl; quantite; qte; cantidad; quantidade; quantita; aantal; ilosc; adet;
        数量; 件数; 购买数量; количество; кол во; ~amount; ~count; ~pieces; ~units sold""",
    "price": """price; unit price; unitprice; item price; sale price; lineitem price; price usd;
        current price; selling price; regular price; list price; preis; einzelpreis; stuckpreis;
        verkaufspreis; prix; prix unitaire; precio; precio unitario; preco; preco unitario; prezzo;
        prezzo unitario; prijs; stukprijs; cena; cena jednostkowa; fiyat; birim fiyat; 价格; 单价;
        售价; 価格; 単価; цена; ~value; ~amount; ~cost; ~sales value; ~revenue; ~min price""",
    "query": """query; search; search term; search query; keyword; search keyword; search string;
        suchbegriff; suchanfrage; terme recherche; recherche; busqueda; termino busqueda; ricerca;
        zoekterm; 搜索词; 搜索; 检索词; 検索語; запрос; ~keywords; ~term""",
    "rating": """rating; stars; star rating; overall; review score; rating value; score; review rating;
        bewertung; sterne; note; calificacion; puntuacion; valoracion; nota; avaliacao; voto;
        valutazione; beoordeling; ocena; puan; 评分; 评价分数; 星级; 打分; 評価; 星; оценка; рейтинг;
        ~points; ~grade""",
    "review_title": """summary; review title; review headline; headline; review summary;
        review comment title; titel; title; titulo; titre; titolo; subject; betreff; 评价标题; ~name""",
    "review_text": """review text; reviewtext; text; review; review body; review content; body;
        comment; review comment; review comment message; content; message; detail; feedback;
        kommentar; rezension; bewertungstext; commentaire; avis; comentario; resena; texto;
        recensione; testo; opinie; yorum; 评论; 评论内容; 评价; 评价内容; 内容; レビュー; 本文; отзыв;
        текст; ~description; ~details; ~note""",
    "review_id": "review id; reviewid; rating id; comment id; bewertung id; id avis",
    "title": """title; name; product name; productname; product title; item name; item title;
        article name; display name; prod name; lineitem name; produktname; produktbezeichnung;
        artikelname; artikelbezeichnung; bezeichnung; produkttitel; nom; nom produit; libelle;
        designation; nombre; nombre producto; nome; nome produto; titulo; denominazione;
        nome prodotto; naam; productnaam; omschrijving; nazwa; nazwa produktu; urun adi;
        商品名; 商品名称; 商品标题; 名称; 标题; 品名; название; наименование; ~description;
        ~product description; ~beschreibung; ~descripcion; ~item desc; ~label""",
    "brand": """brand; brand name; manufacturer; marke; hersteller; marque; fabricant; marca;
        fabricante; merk; fabrikant; marka; producent; 品牌; 品牌名称; ブランド; бренд;
        производитель; ~vendor; ~maker; ~brand id""",
    "category": """category; category name; categoryname; category code; product category;
        product category name; product type; item category; main category; categories; department;
        product group; product group name; taxonomy; kategorie; warengruppe; produktkategorie;
        categorie; rubrique; categoria; linea; reparto; productgroep; kategoria; kategori; 类目;
        类别; 品类; 商品类目; 分类; カテゴリ; カテゴリー; категория; ~type; ~class; ~section; ~category id;
        ~sub commodity desc; ~commodity desc; ~类目id""",
    "stock": """stock; stock quantity; inventory; inventory quantity; qty on hand; on hand;
        quantity in stock; stock level; units in stock; bestand; lagerbestand; lagermenge; verfugbar;
        stocks; existencias; inventario; estoque; giacenza; voorraad; stan magazynowy; stok; 库存;
        在庫; 在庫数; остаток; ~available; ~sellable online quantity; ~inventory available""",
    "listed": """listed; active; is active; enabled; is enabled; published; on sale; for sale;
        available for sale; online; aktiv; verkauflich; actif; en vente; activo; ativo; attivo; actief;
        aktywny; aktif; 上架; 是否上架; 販売中; активен; ~availability; ~in stock; ~status; ~visible""",
    "language": """language; lang; locale; customer locale; language code; preferred language;
        sprache; langue; idioma; lingua; taal; jezyk; dil; 语言; 言語; язык; ~review language""",
    "region": """country; country code; region; land; pays; pais; paese; kraj; ulke; 国家; 地区; 国;
        страна; billing country; shipping country; geo country; market; ~state; ~customer state;
        ~city; ~province; ~customer city""",
    "consent": """consent; marketing consent; consent marketing; opt in; optin; marketing opt in;
        email opt in; accepts marketing; buyer accepts marketing; customer accepts marketing;
        newsletter; newsletter subscribed; is subscribed; subscribed; subscription status;
        email marketing consent state; email marketing consent; marketing permission; email consent;
        allow marketing; allow email; can email; agrees; agreed; gdpr; gdpr consent; einwilligung;
        werbeeinwilligung; werbung; werbung erlaubt; dsgvo; newsletter abonniert; consentement;
        consentement marketing; abonne newsletter; accepte marketing; consentimiento; boletin;
        acepta marketing; consentimento; aceita marketing; consenso; consenso marketing;
        toestemming; nieuwsbrief; zgoda; zgoda marketingowa; izin; 同意; 同意营销; 订阅; 是否订阅;
        メルマガ; 同意済み; согласие; подписка; ads storage; ~marketing; ~permission; ~subscribe""",
    "refusal": """opt out; optout; unsubscribed; do not contact; do not email; no marketing; blocked;
        suppressed; abgemeldet; werbesperre; desabonne; 退订""",
}
# What must not be taken for the role, though a word of its name says so.
_NOT = {
    "time": (
        *("shipping", "delivery", "delivered", "carrier", "estimated", "approved", "updated"),
        *("closed", "cancelled", "birth", "synced", "zone", "timezone", "answer", "spent", "msec"),
        *("first", "last", "limit", "modified", "expires", "lieferdatum", "geburtsdatum", "etl"),
        *("livraison", "entrega", "consegna"),
    ),
    "price": ("shipping", "freight", "tax", "discount", "compare", "total", "currency", "code"),
    "user_id": ("product", "item", "state", "city", "zip", "locale", "type", "agent", "email2"),
    "item_id": ("name", "count", "category", "order", "line", "type", "price", "quantity", "title"),
    "title": (
        "source",
        "traffic",
        "user",
        "customer",
        "first",
        "last",
        "company",
        "event",
        "file",
        "campaign",
        "city",
    ),
    "quantity": ("available", "stock", "inventory", "unfulfilled", "hand"),
    "rating": ("count", "code", "average", "propensity", "id", "lenght", "length"),
    "region": ("name",),
    "category": ("customer", "user", "payment", "event", "device"),
    "order_id": ("item", "status", "date", "estimated", "purchase", "approved", "delivered"),
    "review_title": ("product", "item"),
    "event_type": (
        "status",
        "state",
        "product",
        "file",
        "customer",
        "device",
        "page",
        "source",
        "payment",
        "card",
    ),
    "listed": ("customer", "user", "order", "payment", "financial", "fulfillment"),
    "consent": ("level", "updated", "at", "date", "text"),
    "brand": ("card", "device"),
}

TABLES = {
    "items": """product products item items article articles catalog catalogue sku skus goods
        inventory assortment artikel produkte produkt katalog sortiment produit produits catalogue
        producto productos catalogo produto produtos prodotti articoli producten urunler 商品 宝贝
        товары movies books variant variants stock""",
    "users": """user users customer customers client clients shopper shoppers member members buyer
        buyers account accounts contacts subscriber subscribers kunden kunde nutzer utilisateurs
        usuarios clientes utenti clienti klanten klienci musteriler 用户 会员 客户 顧客 会員 клиенты
        household households demographic demographics crm profile profiles""",
    "reviews": """review reviews rating ratings comments feedback bewertungen bewertung rezensionen
        avis resenas opiniones avaliacoes recensioni beoordelingen opinie yorumlar 评论 评价 レビュー
        отзывы""",
    "events": """event events click clicks clickstream log logs hits track tracks interactions
        behavior behaviour views sessions activity activities order orders purchase purchases sales
        sale transaction transactions invoice invoices lines bestellungen verkaufe umsatze commandes
        ventes pedidos ventas vendas ordini vendite bestellingen zamowienia siparisler 行为 日志 订单
        注文 購買 заказы продажи""",
}
_SALES = """
    order orders purchase purchases sales sale transaction transactions invoice invoices lines
    bestellungen verkaufe umsatze commandes ventes pedidos ventas vendas ordini vendite
    bestellingen zamowienia siparisler retail receipts baskets 订单 注文 購買 заказы продажи"""
PURCHASE_TABLES = {*_SALES.split()}

_WISHES = """
    wishlist wishlists wishes favorites favourites merkzettel merkliste wunschliste wunschzettel
    favoris favoritos preferiti verlanglijst ulubione favoriler 收藏 избранное"""
WISH_TABLES = {*_WISHES.split()}

_EVENTS = {
    "view": """view; views; viewed; pv; page_view_item; view_item; product_view; product viewed;
        viewproduct; productview; detail; details; detail_view; product_detail; item_view; viewcontent;
        view content; product impression click; select_item; select item; click; clicks; clicked;
        product clicked; browse; visit; look; open; ansicht; angesehen; gesehen; klick; geklickt; vue;
        vu; consultation; clic; vista; visto; visualizado; visualizacao; visualizzazione; visualizzato;
        ver; bekeken; weergave; klik; wyswietlenie; goruntuleme; 浏览; 点击; 查看; 閲覧; クリック;
        просмотр; клик; catalog.product.view; detailview""",
    "wishlist": """wishlist; wish; wishlist_add; add_to_wishlist; addtowishlist; add to wish list;
        added to wishlist; wishlisted; product added to wishlist; wishlist item added;
        wishlist product added; catalog.product.wishlist; fav; faved; favorite; favorited; favourite;
        favourited; favorites; favourites; add to favorites; add to favourites; added to favorites;
        added to favourites; addtofavorites; favorite_add; like; liked; bookmark; save for later;
        saved for later; saveforlater; merken; gemerkt; merkzettel; merkliste; wunschliste; wunschzettel;
        auf die wunschliste; auf den merkzettel; auf die merkliste; zur wunschliste hinzugefugt; favorit;
        favori; favoris; ajouter aux favoris; ajout favoris; ajout aux favoris; liste de souhaits;
        liste d'envies; favorito; favoritos; anadir a favoritos; agregar a favoritos; lista de deseos;
        adicionar aos favoritos; lista de desejos; preferiti; aggiungi ai preferiti; lista dei desideri;
        verlanglijst; verlanglijstje; favoriet; ulubione; do ulubionych; dodaj do ulubionych;
        lista zyczen; favoriler; favorilere ekle; istek listesi; collect; 收藏; 加入收藏; 心愿单;
        お気に入り; お気に入りに追加; ほしい物リスト; избранное; в избранное; список желаний""",
    "cart": """cart; add_to_cart; addtocart; add to cart; added to cart; addcart; cart_add;
        product added; wishlist product added to cart; added_to_cart; basket; add_to_basket; add to basket; addtobasket; add to bag;
        addtobag; in den warenkorb; warenkorb; zum warenkorb; warenkorb hinzugefugt; ajout panier;
        ajouter au panier; panier; carrito; anadir al carrito; agregar al carrito; carrinho;
        adicionar ao carrinho; carrello; aggiungi al carrello; winkelwagen; in winkelwagen; koszyk;
        dodaj do koszyka; sepet; sepete ekle; 加购; 加购物车; 加入购物车; 购物车; カート; カートに追加;
        корзина; в корзину""",
    "purchase": """purchase; purchases; purchased; buy; bought; order; ordered; transaction; sale;
        sold; checkout_complete; checkout complete; order completed; order_completed; ordercompleted;
        conversion; paid; payment; ecommerce_purchase; in_app_purchase; kauf; gekauft; bestellung;
        bestellt; achat; achete; commande; compra; comprado; comprar; pedido; acquisto; acquistato;
        ordine; aankoop; gekocht; bestelling; zakup; satin alma; satinalma; 购买; 下单; 成交; 支付;
        購入; 注文; покупка; заказ""",
    "return": """return; returned; refund; refunded; refund issued; order refunded; order_refunded;
        cancel; cancelled; canceled; cancellation; chargeback; retoure; ruckgabe; storno; storniert;
        retour; remboursement; annulation; devolucion; devolucao; reembolso; cancelado; reso; rimborso;
        annullato; terugbetaling; zwrot; iade; 退货; 退款; 取消; 返品; キャンセル; возврат; отмена""",
    "search": """search; searched; search_results; view_search_results; products searched;
        product_search; site_search; suche; gesucht; recherche; busqueda; buscar; busca; pesquisa;
        ricerca; cerca; zoeken; wyszukiwanie; arama; 搜索; 检索; 検索; поиск""",
    # Known, and of no interest: none is an act on a product that we have a name for.
    "": """page_view; pageview; page; screen_view; session_start; first_visit; first_open; scroll;
        user_engagement; begin_checkout; checkout; checkout started; checkout_started;
        checkout step viewed; checkout step completed; initiatecheckout; add_payment_info;
        add_shipping_info; view_item_list; product list viewed; view_promotion; select_promotion;
        promotion viewed; promotion clicked; view_cart; cart viewed; login; logout; signup; sign_up;
        signed up; signed in; register; file_download; video_start; video_progress; video_complete;
        form_start; form_submit; page_ping; identify; impression; heartbeat; ping; email_open;
        email_click; coupon entered; coupon applied; order updated; order cancelled by system;
        product shared; share; remove_from_cart; removefromcart; product removed; removed_from_cart;
        remove; collection; product removed from wishlist; remove_from_wishlist; removefromwishlist;
        removed from wishlist; wishlist_remove; view_wishlist; wishlist viewed; unfavorite; unfavourite;
        unfav; unlike; remove from favorites; remove from favourites; 取消收藏; click_ad;
        notification_open; os_update; app_update; app_remove; app_exception; error; exception""",
}
EVENT_WORDS = {
    plain(word): meaning for meaning, words in _EVENTS.items() for word in words.split(";")
}

_YES = """
    true t 1 y yes subscribed optin opted-in granted agreed accepted active ja oui si sim s wahr
    vrai verdadero tak evet 是 有 はい да on in_stock instock available"""
YES_WORDS = {plain(word) for word in _YES.split()}
_NO = """
    false f 0 n no unsubscribed not_subscribed optout opted-out denied refused declined inactive
    nein non nao falsch faux falso nie hayir 否 无 いいえ нет off pending redacted invalid out_of_stock
    outofstock unavailable discontinued archived draft deleted"""
NO_WORDS = {plain(word) for word in _NO.split()}

_ID_WORDS = {
    *[
        "id",
        "ids",
        "no",
        "nr",
        "num",
        "number",
        "key",
        "hash",
        "code",
        "uuid",
        "guid",
        "ref",
        "sk",
        "pk",
    ]
}

_LISTS: dict[str, list[tuple[tuple[str, ...], float]]] = {
    role: [
        (tokens(name.strip().lstrip("~")), 0.6 if name.strip().startswith("~") else 1.0)
        for name in names.split(";")
        if name.strip()
    ]
    for role, names in _NAMES.items()
}
ROLES = tuple(_LISTS)


@lru_cache(maxsize=8192)
def name_score(name: str, role: str) -> float:
    """How well a name says a role: 1 where it is a name of it, 0 where it says nothing.

    Of a value inside another (`user.id`), the name of the outer one counts, too.
    """
    parts = name.split(".")
    words = tokens(parts[-1]) or tokens(name)
    best = _score(words, role)
    if len(parts) > 1:
        words = (*tokens(parts[-2]), *words)
        best = max(best, _score(words, role))
    return 0.0 if best < 1.0 and speaks_against(words, role) else best


def speaks_against(words: tuple[str, ...], role: str) -> bool:
    """Whether a name has a word by which it is something else."""
    return bool({*words} & {*_NOT.get(role, ())})


def _score(words: tuple[str, ...], role: str) -> float:
    is_id = role.endswith("_id")
    bare = words
    while is_id and len(bare) > 1 and bare[-1] in _ID_WORDS:
        bare = bare[:-1]
    joined, best = "".join(words), 0.0
    for phrase, weight in _LISTS[role]:
        said = "".join(phrase)
        if said == joined:
            best = max(best, weight)
        elif is_id and bare != words and said == "".join(bare):
            best = max(best, 0.9 * weight)
        elif said.isascii():
            best = max(best, weight * _part(bare, phrase, is_id=is_id))
        elif said in joined and len(phrase[0]) > 1:
            best = max(best, 0.7 * weight)
    return best


def _part(words: tuple[str, ...], phrase: tuple[str, ...], *, is_id: bool) -> float:
    """How much it says that a name has the phrase among other words."""
    for place in range(len(words) - len(phrase), -1, -1):
        if words[place : place + len(phrase)] == phrase:
            last = place + len(phrase) == len(words)
            # What follows an id's noun makes it another thing: `user_feature` is no user.
            merit = 0.75 if last else 0.3 if is_id else 0.5
            return merit * (1 if len(phrase) > 1 else 0.9)
    return 0.0


def table_scores(name: str) -> dict[str, int]:
    """How many words of a table's name say each dataset."""
    words = {*tokens(name)}
    return {dataset: len(words & {*names.split()}) for dataset, names in TABLES.items()}
