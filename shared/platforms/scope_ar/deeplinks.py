"""Links that open WorkLink on a scenario catalog, with what they belong to: its session gives that back to us.

``worklink://resource?action=fetch_catalog&asset=...&work_order_id=...``, and the deferred form for devices without the
app. Of the other actions (a scenario, a contact, a user) no public contract says how they are written, so that a link
copied from the CMS serves as their template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.errors import InvalidInput
from shared.platforms.scope_ar.options import References

__all__ = ["RESERVED", "Deeplink", "DeeplinkTemplates", "WantedDeeplink", "build", "check_template"]

SCHEME = "worklink://resource?"
DEFERRED = "https://getworklink.com/deferred?deep_link="
RESERVED = frozenset(("action", "catalog", "asset", "deep_link"))
"""Words of the link itself: external data under these names would change what it opens."""
MAX_LINK = 2_000
"""Characters: mail programs, QR codes and Android cut longer ones."""
MAX_VALUE = 500
PLACE = "{id}"
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}(\[[A-Za-z0-9_.-]{0,50}\]){0,3}")

Text = str | int | float | bool


class WantedDeeplink(BaseModel):
    """What a link opens, and what it carries."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    catalog: str | None = Field(None, min_length=1, max_length=MAX_VALUE, description="The id of a scenario catalog.")
    asset: str | None = Field(
        None, min_length=1, max_length=MAX_VALUE, description="An asset id that a scenario catalog was made for."
    )
    kind: Literal["scenario", "contact", "user"] | None = Field(
        None,
        description="What `target` is. Unverified how the app wants it: the template that was pasted for it is used.",
    )
    target: str | None = Field(None, min_length=1, max_length=MAX_VALUE, description="Its id.")
    template: str | None = Field(
        None,
        max_length=MAX_LINK,
        description="A link copied from the CMS, with {id} where `target` goes; in place of the one that is kept.",
    )
    work_order_id: str | None = Field(None, min_length=1, max_length=255)
    equipment_id: str | None = Field(None, min_length=1, max_length=255)
    batch_id: str | None = Field(None, min_length=1, max_length=255)
    alert_id: str | None = Field(None, min_length=1, max_length=255)
    external_data: dict[str, Text] = Field(default_factory=dict, max_length=30, description="More that it carries.")
    stamp: bool = Field(
        False, description="Carry `requested_at`, the time of this call: how long it takes to answer counts from it."
    )
    connection: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Write the keys that this connection reads."
    )

    @field_validator("external_data")
    @classmethod
    def _keys(cls, value: dict[str, Text]) -> dict[str, Text]:
        for key, text in value.items():
            if not _KEY.fullmatch(key):
                raise ValueError(f"{key[:40]!r} is no key: letters, digits and _ . - [ ]")
            if len(str(text)) > MAX_VALUE:
                raise ValueError(f"{key[:40]} has more than {MAX_VALUE} characters")
        return value

    @model_validator(mode="after")
    def _one_thing(self) -> WantedDeeplink:
        opened = [name for name in ("catalog", "asset", "kind") if getattr(self, name) is not None]
        if self.template is not None and self.kind is None:
            opened.append("template")
        if len(opened) != 1:
            raise ValueError("say one thing that the link opens: catalog, asset, kind with target, or template")
        if (self.kind is not None) and self.target is None:
            raise ValueError("kind needs target, the id of what is opened")
        if self.target is not None and self.kind is None and self.template is None:
            raise ValueError("target goes with kind or template")
        return self


class DeeplinkTemplates(BaseModel):
    """Links copied from the CMS, by what they open; {id} stands where the id goes."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    scenario: str | None = Field(None, max_length=MAX_LINK, description="Unverified: as your CMS writes it.")
    contact: str | None = Field(None, max_length=MAX_LINK, description="Unverified: as your CMS writes it.")
    user: str | None = Field(None, max_length=MAX_LINK, description="Unverified: as your CMS writes it.")

    @field_validator("scenario", "contact", "user")
    @classmethod
    def _a_link(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                check_template(value, field="template", needs_place=True)
            except InvalidInput as err:
                raise ValueError(err.detail) from None
        return value


@dataclass(frozen=True, slots=True)
class Deeplink:
    """A link in both forms."""

    deep_link: str
    deferred_link: str
    external_data: Mapping[str, str]


def check_template(template: str, *, field: str, needs_place: bool) -> list[tuple[str, str]]:
    """The parameters of a pasted link, decoded.

    Raises:
        InvalidInput: it is none of WorkLink's, or its ``{id}`` stands where no value does.
    """
    link = template.strip()
    if link.startswith(DEFERRED):
        link = unquote(link.removeprefix(DEFERRED))
    parts = urlsplit(link)
    if parts.scheme.lower() != "worklink" or parts.netloc != "resource" or parts.path not in ("", "/"):
        raise InvalidInput("A template is a link that begins with worklink://resource?", field=field)
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise InvalidInput("The parameters of the template cannot be read.", field=field) from None
    if not pairs or pairs[0][0] != "action":
        raise InvalidInput("A template names its action first: worklink://resource?action=...", field=field)
    places = sum(value.count(PLACE) for _, value in pairs)
    if any("{" in key for key, _ in pairs) or places > 1 or (needs_place and places != 1):
        raise InvalidInput("A template has {id} once, where the id goes.", field=field)
    return pairs


def build(
    wanted: WantedDeeplink, *, references: References, templates: DeeplinkTemplates, requested_at: str | None
) -> Deeplink:
    """The link.

    Raises:
        InvalidInput: a key is one of the link's own or given twice, a value cannot be carried, no template is known,
            or the link gets too long.
    """
    opened = _opened(wanted, templates)
    external = _external(wanted, references, requested_at)
    taken = {key.lower() for key, _ in opened} | RESERVED
    for key in external:
        if key.lower().partition("[")[0] in taken:
            raise InvalidInput(f"{key} is a word of the link itself; name it otherwise.", field=f"external_data.{key}")
    link = SCHEME + _query([*opened, *external.items()])
    if len(link) > MAX_LINK:
        raise InvalidInput(
            f"The link has {len(link)} characters and at most {MAX_LINK} work everywhere: carry less.",
            field="external_data",
        )
    return Deeplink(link, DEFERRED + quote(link, safe=""), external)


def _opened(wanted: WantedDeeplink, templates: DeeplinkTemplates) -> Sequence[tuple[str, str]]:
    if wanted.catalog is not None:
        return [("action", "fetch_catalog"), ("catalog", _carried(wanted.catalog, "catalog"))]
    if wanted.asset is not None:
        return [("action", "fetch_catalog"), ("asset", _carried(wanted.asset, "asset"))]
    template = wanted.template or (getattr(templates, wanted.kind) if wanted.kind else None)
    if template is None:
        raise InvalidInput(
            f"How a link to a {wanted.kind} is written is not published: copy one from the CMS, give it as template, "
            "or keep it with PUT /api/v1/deeplinks/templates.",
            field="template",
        )
    pairs = check_template(template, field="template", needs_place=wanted.target is not None)
    if wanted.target is None:
        if any(PLACE in value for _, value in pairs):
            raise InvalidInput("The template has {id}: give target, too.", field="target")
        return pairs
    target = _carried(wanted.target, "target")
    return [(key, value.replace(PLACE, target)) for key, value in pairs]


def _external(wanted: WantedDeeplink, references: References, requested_at: str | None) -> dict[str, str]:
    external: dict[str, str] = {}
    named: list[tuple[str, str, Any]] = [
        (keys[0] if keys else f"{name}_id", f"{name}_id", getattr(wanted, f"{name}_id"))
        for name, keys in (
            ("work_order", references.work_order),
            ("equipment", references.equipment),
            ("batch", references.batch),
            ("alert", references.alert),
        )
    ]
    given = [(key, f"external_data.{key}", value) for key, value in wanted.external_data.items()]
    stamped = [("requested_at", "stamp", requested_at)] if wanted.stamp else []
    for key, field, value in (*named, *given, *stamped):
        if value is None:
            continue
        if key.lower() in {known.lower() for known in external}:
            raise InvalidInput(f"{key} is given twice.", field=field)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        external[key] = _carried(text, field)
    return external


def _carried(value: str, field: str) -> str:
    """What survives the way: no control characters, no half of a surrogate pair."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise InvalidInput("Line breaks and control characters cannot be carried by a link.", field=field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput("It holds half a character that cannot be written.", field=field) from None
    return value


def _query(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)
