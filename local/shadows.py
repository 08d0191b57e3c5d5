"""Which route stands in front of which: a sample path of one template is tried on the ones before it."""

from __future__ import annotations

from collections.abc import Sequence

from local.route_template import Parameter, Segment, Template
from local.routes import path_parts

__all__ = ["sample_path", "shadowed_by"]

_SAMPLES = (
    "Xq7-_example",
    "0A1B2C3D4E5F60718293A4B5C6D7E8F9",
    "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    "7",
    "1234567890123",
    "true",
    "example",
    "EXAMPLE",
    "2026-11-21",
    "2026-11-21T10:00:00Z",
    "1.5",
    "pm5m",
)


def shadowed_by(template: Template, earlier: Sequence[Template]) -> tuple[int, str] | None:
    """The first of the earlier templates that takes a path meant for this one, with that path.

    Nothing is said about a template whose constraints none of our samples meets.
    """
    path = sample_path(template)
    if path is None:
        return None
    parts = path_parts(path)
    for i, other in enumerate(earlier):
        if other.match(parts) is not None:
            return i, path
    return None


def sample_path(template: Template) -> str | None:
    """A path that the template matches and that looks as little as possible like anything else's."""
    texts: list[str] = []
    for segment in template.segments:
        text = _segment_sample(segment)
        if text is None:
            if segment.can_be_absent:
                break
            return None
        texts.append(text)
    return "/".join(texts) if template.match(texts) is not None else None


def _segment_sample(segment: Segment) -> str | None:
    if segment.literal is not None:
        return segment.literal
    if segment.parameter is not None:
        return _sample(segment.parameter)
    return None


def _sample(parameter: Parameter) -> str | None:
    lengths = (s * n for n in range(1, 65) for s in ("a", "7"))
    return next((s for s in (*_SAMPLES, *lengths) if parameter.takes(s)), None)
