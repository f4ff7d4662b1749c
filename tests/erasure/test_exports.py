"""Files for mail tools lose erased users at once; what a tool was sent, when it has been told."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.erasure.erase import ask, erase
from pipeline.exports.sent import sent_before
from tests.erasure.byte_scan import places
from tests.exports.conftest import NOW, Shop, item, shop

__all__ = ["shop"]

WHO = ["ann@shop", "7", "long-standing-customer-12"]


def test_exports_hold_nobody_who_is_erased(shop: Shop) -> None:
    lists = {own: [item("a", "Tea")] for own in WHO}
    shop.publish(lists)
    for tool in ("csv", "braze", "personalize"):
        shop.export(tool, known=WHO)
        shop.export(tool, known=WHO, now=NOW + dt.timedelta(hours=1))
    shop.export("klaviyo", known=WHO[:1])
    gone = WHO[1:]
    proof = erase(
        ask(shop.lake, shop.settings.privacy.key_file, gone, exports=shop.root),
        lambda: dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
    )
    # Klaviyo was not sent them: their ids were unknown then, which its notes say by pseudonym.
    assert proof.facts["exports"] == {"braze": 2, "csv": 2, "klaviyo": 0, "personalize": 2}
    secrets = [each.encode() for own in gone for each in (own, shop.user_id(own)) if len(each) > 5]
    left = [place for place in places(shop.root, secrets) if ".sent" not in place]
    assert left == []

    later = {"now": NOW + dt.timedelta(days=1)}
    done = shop.export("csv", known=WHO[:1], **later)
    assert done.counts["left"] == 2, "the tool is told to clear their lists"
    assert set(sent_before(done.made)) == {WHO[0]}
    assert _sent_of(shop.root) == {WHO[0]: 4, WHO[1]: 2, WHO[2]: 2}


def test_ids_are_found_however_short_and_wherever_a_kill_left_them(shop: Shop) -> None:
    shop.publish({own: [item("a", "Tea")] for own in WHO})
    tools = ("csv", "braze", "personalize", "klaviyo")
    for tool in tools:
        shop.export(tool, known=WHO)
    shop.consent({"7": False}, dt.date(2026, 3, 2))
    for tool in tools:
        shop.export(tool, known=WHO, now=NOW + dt.timedelta(days=1))  # tells it that 7 has left
    newest = {tool: shop.root / tool / "2026-03-01.2" for tool in tools}
    assert b"7" in (newest["csv"] / "left-00001.csv").read_bytes()
    killed = [shop.root / "mailchimp" / name for name in (".aside-new", ".removed.x", "2026-03-01")]
    for path in killed:
        path.mkdir(parents=True)
        (path / "part-00001.csv").write_text("customer_id,title\n7,Tea\n")
    (shop.root / "csv" / "2026-03-01" / "part-00001.csv").unlink()  # it has expired

    assert erase(
        ask(shop.lake, shop.settings.privacy.key_file, ["7"], exports=shop.root),
        lambda: dt.datetime(2026, 3, 4, tzinfo=dt.UTC),
    ).facts["exports"] == dict.fromkeys((*tools, "mailchimp"), 0)
    for tool, path in newest.items():
        assert [each.name for each in (shop.root / tool).glob("*/")] == [path.name]
        assert not [*path.glob("left-*")], tool
    assert not [path for path in killed if path.exists()]


def _sent_of(root: Path) -> dict[str, int]:
    """How many tools still have each user, by the newest exports."""
    from collections import Counter

    from pipeline.exports.folder import ToolFolder

    found = Counter[str]()
    for tool in ("csv", "braze", "personalize", "klaviyo"):
        found.update(sent_before(ToolFolder(root, tool).newest("own")).keys())
    return dict(found)
