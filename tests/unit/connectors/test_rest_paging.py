"""Answers in pages, over a socket: every way to the next page, every bound, and where it may not lead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from shared.clock import ManualClock
from shared.connectors import ConnectorFactory
from shared.connectors.rest_paging import link_next, with_parameter
from shared.errors import InvalidInput
from shared.signals import Quality, Reading
from tests.unit.connectors.vendor import Answering, Vendor, units

SIGNALS = {"temperature.cabinet": "temp"}
MERGED = {"temperature.cabinet": "units[id={unit}].temp"}
KEY = {"api_key": "hunter2"}


def paged(by: str, *, count: int = 7, size: int = 3) -> Answering:
    """A vendor with so many ovens, so many on a page."""

    async def answering(request: web.Request) -> web.StreamResponse:
        query = request.query
        start = int(query.get("cursor", query.get("offset", 0))) if by != "page" else (int(query["page"]) - 1) * size
        here, following = units(count)[start : start + size], start + size
        body: dict[str, Any] = {"units": here, "page": {"total": count}}
        headers = {}
        if following < count:
            if by == "cursor":
                body["meta"] = {"next": str(following)}
            elif by == "next":
                body["_links"] = {"next": {"href": f"{request.path}?offset={following}"}}
            elif by == "link":
                headers["Link"] = f'<?offset=0>; rel="first", <{request.path}?offset={following}>; rel="last next"'
        elif by == "cursor":
            body["meta"] = {"next": None}
        return web.json_response(body, headers=headers)

    return answering


PAGINGS: dict[str, Any] = {
    "page": {"by": "page", "first": 1, "size_parameter": "size", "size": 3},
    "offset": {"by": "offset", "size_parameter": "limit", "size": 3},
    "cursor": {"by": "cursor", "at": "meta.next"},
    "next": "next",
    "link": "link",
}


def options(by: str, unit: int = 6, **more: Any) -> dict[str, Any]:
    given = {"path": "/api/units", "unit": unit, "items": "units", "signals": SIGNALS, "paging": PAGINGS[by]}
    return given | {"item": {"where": {"id": "{unit}"}}} | more


async def read(clock: ManualClock, answering: Answering, **given: Any) -> tuple[Reading, Vendor]:
    async with Vendor(clock, answering).serve() as vendor:
        connector = vendor.open(credentials=KEY, additional_config=given)
        return await connector.get_current_reading(), vendor


@pytest.mark.parametrize("by", PAGINGS)
async def test_our_machine_is_found_on_whatever_page(by: str, clock: ManualClock) -> None:
    for unit, pages in ((1, 1), (6, 3)):
        reading, vendor = await read(clock, paged(by), **options(by, unit))
        assert reading.reason is None
        assert reading.values["temperature.cabinet"].value == 100 + unit
        assert vendor.reads == pages, "the pages after it are not asked for"
        assert all(headers["x-api-key"] == "hunter2" for headers in vendor.headers)


@pytest.mark.parametrize("by", PAGINGS)
async def test_addresses_into_the_list_of_all_pages(by: str, clock: ManualClock) -> None:
    """The same mapping with and without pages: units[id=...] looks through all of them."""
    given = options(by, signals=MERGED)
    del given["item"]
    reading, vendor = await read(clock, paged(by), **given)
    assert reading.values["temperature.cabinet"].value == 106
    assert vendor.reads == 3


async def test_what_is_asked_for(clock: ManualClock) -> None:
    for by, asked in {
        "page": ["?x=1&page=1&size=3", "?x=1&size=3&page=2", "?x=1&size=3&page=3"],
        "offset": ["?x=1&offset=0&limit=3", "?x=1&limit=3&offset=3", "?x=1&limit=3&offset=6"],
        "cursor": ["?x=1", "?x=1&cursor=3", "?x=1&cursor=6"],
    }.items():
        _, vendor = await read(clock, paged(by), **options(by, path="/api/units?x=1"))
        assert vendor.asked == [f"GET /api/units{query}" for query in asked]


@pytest.mark.parametrize(("count", "asked"), [(7, 3), (6, 3), (2, 2)])
async def test_counted_pages_end_with_a_short_or_empty_one(count: int, asked: int, clock: ManualClock) -> None:
    reading, vendor = await read(clock, paged("page", count=count), **options("page", 99))
    assert vendor.reads == asked
    assert "no item with id = 99" in (reading.reason or "")


async def test_a_total_saves_the_call_for_the_empty_page(clock: ManualClock) -> None:
    paging = PAGINGS["page"] | {"total_at": "page.total"}
    _, vendor = await read(clock, paged("page", count=6), **options("page", 99, paging=paging))
    assert vendor.reads == 2


async def test_a_vendor_that_has_nothing_after_the_last_page(clock: ManualClock) -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        if request.query["page"] == "2":
            return web.json_response({}, status=404)
        return web.json_response({"units": units(3)})

    reading, vendor = await read(clock, answering, **options("page", 99))
    assert (vendor.reads, "there are 0, 1, 2" in (reading.reason or "")) == (2, True)


async def test_a_machine_that_is_not_there(clock: ManualClock) -> None:
    reading, _ = await read(clock, paged("link"), **options("link", 99))
    assert (reading.quality, reading.error_code, reading.values) == (Quality.BAD, "unexpected_answer", {})
    assert reading.reason == ("`units` has no item with id = 99 (3 pages were read); there are 0, 1, 2, 3, 4, 5, 6.")


async def test_several_headers_link(clock: ManualClock) -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        answer = web.json_response({"units": units(2) if "p" in request.query else units(1)})
        if "p" not in request.query:
            answer.headers.add("Link", '<?x=1>; rel="first"')
            answer.headers.add("link", '<?p=2>; rel="next"')
        return answer

    reading, vendor = await read(clock, answering, **options("link", 1))
    assert (reading.values["temperature.cabinet"].value, vendor.asked[1]) == (101, "GET /api/units?p=2")


# What may not happen ---------------------------------------------------------------------------------------------


def linking(link: str, *, by: str = "next") -> Answering:
    async def answering(request: web.Request) -> web.StreamResponse:
        headers = {"Link": f"<{link}>; rel=next"} if by == "link" else {}
        body = {"units": units(1), "_links": {"next": {"href": link}}} if by == "next" else {"units": units(1)}
        return web.json_response(body, headers=headers)

    return answering


@pytest.mark.parametrize("by", ["next", "link"])
@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("https://evil.example/units?page=2", "names a next page at https://evil.example, not at http://127.0.0.1:"),
        ("//evil.example/units", "names a next page at http://evil.example"),
        ("http://127.0.0.1:1/units", "names a next page at http://127.0.0.1:1,"),
        ("http://169.254.169.254/latest", "link-local"),
        ("file:///etc/passwd", "https:// or http://"),
        ("http://user:secret@127.0.0.1/x", "user name or password"),
        ("http://[::1", "is not asked for"),
    ],
)
async def test_a_link_that_leads_elsewhere(by: str, link: str, says: str, clock: ManualClock) -> None:
    reading, vendor = await read(clock, linking(link, by=by), **options(by, 99))
    assert (reading.quality, reading.error_code) == (Quality.BAD, "unexpected_answer")
    assert says in (reading.reason or ""), reading.reason
    assert "secret" not in (reading.reason or "")
    assert vendor.reads == 1


async def test_credentials_never_leave_their_origin(clock: ManualClock) -> None:
    async def other(request: web.Request) -> web.StreamResponse:
        return web.json_response({"units": units(99)})

    async with Vendor(clock, other).serve() as elsewhere:
        reading, _ = await read(clock, linking(f"{elsewhere.url}/units"), **options("next", 50))
        assert elsewhere.asked == []
        assert "credentials never leave their address" in (reading.reason or "")


async def test_pages_in_a_circle(clock: ManualClock) -> None:
    async def circle(request: web.Request) -> web.StreamResponse:
        following = {"1": "2", "2": "1"}.get(request.query.get("p", ""), "1")
        return web.json_response({"units": units(1), "_links": {"next": {"href": f"?p={following}"}}})

    reading, vendor = await read(clock, circle, **options("next", 99))
    assert "page 3 leads back to page 2" in (reading.reason or "")
    assert vendor.reads == 3


async def test_the_same_cursor_again(clock: ManualClock) -> None:
    async def stuck(request: web.Request) -> web.StreamResponse:
        return web.json_response({"units": units(1), "meta": {"next": "a b&c"}})

    reading, vendor = await read(clock, stuck, **options("cursor", 99))
    assert vendor.asked[-1] == "GET /api/units?cursor=a%20b%26c"
    assert "leads back to page 2" in (reading.reason or "")


async def test_a_vendor_that_does_not_know_the_parameter(clock: ManualClock) -> None:
    async def always(request: web.Request) -> web.StreamResponse:
        return web.json_response({"units": units(3), "page": {"total": 100}})

    reading, vendor = await read(clock, always, **options("page", 99))
    assert "does it know the parameter page?" in (reading.reason or "")
    assert vendor.reads == 2


@pytest.mark.parametrize("odd", ["1" * 30, '"\\ud800"'])
async def test_pages_that_hold_what_cannot_be_written(odd: str, clock: ManualClock) -> None:
    """Whether a page came twice is then not known; the pages are read all the same."""

    async def answering(request: web.Request) -> web.StreamResponse:
        page = int(request.query["page"])
        body = f'{{"units": [{{"id": {page}, "temp": {page}, "odd": {odd}, "nan": NaN}}], "page": {{"total": 3}}}}'
        return web.Response(text=body, content_type="application/json")

    reading, vendor = await read(clock, answering, **options("page", 3))
    assert reading.reason is None
    assert (reading.values["temperature.cabinet"].value, vendor.reads) == (3, 3)


async def test_more_pages_than_allowed(clock: ManualClock) -> None:
    paging = {"by": "next", "max_pages": 2}
    reading, vendor = await read(clock, paged("next", count=9), **options("next", 8, paging=paging))
    assert "has more than 2 pages (max_pages)" in (reading.reason or "")
    assert vendor.reads == 2


async def test_more_bytes_than_allowed(clock: ManualClock) -> None:
    async def heavy(request: web.Request) -> web.StreamResponse:
        page = int(request.query.get("p", 0))
        body = {"units": [{"id": -1, "note": "x" * 1_000_000}], "_links": {"next": {"href": f"?p={page + 1}"}}}
        return web.json_response(body)

    reading, vendor = await read(clock, heavy, **options("next", 99))
    assert "more than 8 MB" in (reading.reason or "")
    assert vendor.reads == 9


async def test_all_pages_together_have_a_deadline(clock: ManualClock) -> None:
    async def hangs(request: web.Request) -> web.StreamResponse:
        if "p" in request.query:
            await asyncio.Event().wait()
        return web.json_response({"units": units(1), "_links": {"next": {"href": "?p=1"}}})

    reading, vendor = await read(clock, hangs, **options("next", 99, paging={"by": "next", "timeout": 0.5}))
    assert reading.error_code == "timeout"
    assert "there is more after page 1, and 0.5 s (paging.timeout) are over" in (reading.reason or "")
    assert vendor.reads == 2


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"units": {"id": 1}}, "items: `units` is no list"),
        ({"data": []}, "items: the answer has no `units`; there is data"),
        ([1], "items: the answer is a list, so it has no `units`"),
        ({"units": units(1), "_links": {"next": {"href": 5}}}, "is no link"),
        ({"units": units(1), "_links": {"next": {"href": {"x": 1}}}}, "is no link"),
    ],
)
async def test_answers_that_are_no_pages(document: Any, says: str, clock: ManualClock) -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    reading, _ = await read(clock, answering, **options("next", 99))
    assert says in (reading.reason or ""), reading.reason


async def test_a_second_page_that_fails_fails_the_reading(clock: ManualClock) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        if "p" in request.query:
            return web.json_response({}, status=503)
        return web.json_response({"units": units(1), "_links": {"next": {"href": "?p=1"}}})

    reading, _ = await read(clock, half, **options("next", 99))
    assert "an error of its own (503)" in (reading.reason or "")


# Items -----------------------------------------------------------------------------------------------------------


async def points(request: web.Request) -> web.StreamResponse:
    told = [
        {"oven": {"no": 7}, "t": "2026-11-21T09:58:00Z", "temp": 1},
        {"oven": {"no": 7}, "t": "2026-11-21T09:59:00Z", "temp": 2},
        {"oven": {"no": 7}, "t": "2099-01-01T00:00:00Z", "temp": 3},
        {"oven": {"no": 7}, "t": "soon", "temp": 4},
        {"oven": {"no": 7}, "temp": 5},
        {"oven": {"no": 8}, "t": "2026-11-21T10:00:00Z", "temp": 6},
        "nonsense",
    ]
    return web.json_response({"site": "madrid", "points": told})


async def test_points_in_time_the_newest_of_ours(clock: ManualClock) -> None:
    item = {"where": {"oven.no": "{unit}"}, "newest": "t"}
    signals = {"temperature.cabinet": "temp", "site": "$.site"}
    reading, _ = await read(clock, points, unit=7, items="points", item=item, signals=signals)
    value = reading.values["temperature.cabinet"]
    assert (value.value, value.quality) == (2, Quality.GOOD), "what lies ahead or has no time is not the newest"
    assert value.source_time is not None
    assert value.source_time.minute == 59, "the time of the item is the time of its values"
    assert reading.values["site"].value == "madrid", "$ is the whole answer"


async def test_only_points_whose_time_cannot_be_believed(clock: ManualClock) -> None:
    async def ahead(request: web.Request) -> web.StreamResponse:
        return web.json_response([{"t": "2099-01-01T00:00:00Z", "temp": 3}])

    reading, _ = await read(clock, ahead, items="$", item={"newest": "t"}, signals=SIGNALS)
    value = reading.values["temperature.cabinet"]
    assert (value.value, value.quality, value.source_time) == (3, Quality.UNCERTAIN, None)
    assert "still to come" in (value.reason or "")


async def test_the_newest_is_looked_for_on_every_page(clock: ManualClock) -> None:
    item = {"newest": "at"}
    reading, vendor = await read(clock, paged("link"), **options("link", item=item))
    assert (reading.values["temperature.cabinet"].value, vendor.reads) == (106, 3)


async def test_items_of_another_kind(clock: ManualClock) -> None:
    async def empty(request: web.Request) -> web.StreamResponse:
        return web.json_response({"points": None})

    for item, says in (({"newest": "t"}, "`points` has no items"), ({"where": {"x": 1}}, "no item has a `x`")):
        reading, _ = await read(clock, empty, items="points", item=item, signals=SIGNALS)
        assert says in (reading.reason or "")


async def test_the_guides_field_names_in_an_item(clock: ManualClock) -> None:
    async def ovens(request: web.Request) -> web.StreamResponse:
        return web.json_response({"ovens": [{"sn": "A", "temperature": 1}, {"sn": "B", "temperature": 180}]})

    reading, _ = await read(clock, ovens, unit="B", items="ovens", item={"where": {"sn": "{unit}"}})
    assert {key: value.value for key, value in reading.values.items()} == {"temperature.cabinet": 180, "sn": "B"}


# Pure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("<https://a/x?p=2>; rel=next", "https://a/x?p=2"),
        ('</a>; rel="prev", </b>; title="next, or not"; rel="next"', "/b"),
        ('</a,b;c>;rel="first  NEXT"', "/a,b;c"),
        ('</a>; rel="next"; rel="prev"', "/a"),
        ('</a>; rel="prev"; rel="next"', None),
        ("</a>; rel=prev", None),
        ("", None),
        ("nonsense", None),
        ("</a>; rel", None),
        ('<>; rel="next"', ""),
    ],
)
def test_the_header_link(header: str, target: str | None) -> None:
    assert link_next(header) == target


def test_a_parameter_is_set_once() -> None:
    assert with_parameter("https://a/x", "page", 2) == "https://a/x?page=2"
    assert with_parameter("https://a/x?page=1&y=%2F&page%5B%5D=3", "page", 2) == "https://a/x?y=%2F&page%5B%5D=3&page=2"
    assert with_parameter("https://a/x?", "page[no]", "a&b") == "https://a/x?page%5Bno%5D=a%26b"


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"paging": "link"}, "additional_config", "items is needed"),
        ({"item": {"where": {"id": 1}}}, "additional_config", "items is needed"),
        ({"items": "units"}, "additional_config", "no effect without"),
        ({"items": "units[id=1]", "paging": "link"}, "additional_config.items", "names and positions only"),
        ({"items": "units..", "paging": "link"}, "additional_config.items", "['odd key']"),
        ({"items": "u", "item": {}}, "additional_config.item", "give where"),
        ({"items": "u", "item": {"where": {"a..b": 1}}}, "additional_config.item.where", "['odd key']"),
        ({"items": "u", "item": {"where": {"id": "{serial}"}}}, "additional_config.item.where['id']", "no value"),
        ({"items": "u", "paging": "pages"}, "additional_config.paging.by", "'page'"),
        ({"items": "u", "paging": "page"}, "additional_config.paging", "from 0 or from 1"),
        ({"items": "u", "paging": "cursor"}, "additional_config.paging", "at is needed"),
        ({"items": "u", "paging": {"by": "link", "at": "x"}}, "additional_config.paging", "no effect"),
        ({"items": "u", "paging": {"by": "next", "parameter": "x"}}, "additional_config.paging", "no effect"),
        ({"items": "u", "paging": {"by": "offset", "size": 5}}, "additional_config.paging", "belong together"),
        (
            {"items": "u", "paging": {"by": "offset", "parameter": "a b"}},
            "additional_config.paging.parameter",
            "letters",
        ),
        ({"items": "u", "paging": {"by": "next", "max_pages": 0}}, "additional_config.paging.max_pages", "1"),
        (
            {"path": "/x?cursor=1", "items": "u", "paging": {"by": "cursor", "at": "c"}},
            "additional_config.paging",
            "sets cursor itself",
        ),
        ({"share_seconds": -1}, "additional_config.share_seconds", "0"),
    ],
)
def test_refused(given: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ConnectorFactory.check("rest_api", {"endpoint": "https://vendor.example", "additional_config": given})
    assert refused.value.problems[0].field == field
    assert says in refused.value.detail
