"""The wire format for programs: a JSON Schema of a session and an OpenAPI document, generated from the code that
checks. A schema cannot say that an end is not before its start, that an application is registered, or that two names
differ in more than case. The descriptions say this, and the function checks it.
"""

from typing import Any

from ingest.function.answers import JSON, SECURITY
from ingest.function.routes import NDJSON
from ingest.function.session_format import EVENT, NAME, SESSION, SPAN, UUID4, VERSION
from ingest.function.settings import Settings

__all__ = ["openapi", "session_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# The same as ingest.function.session_format.TIME, in the regular expressions of schemas.
TIME = r"^\d{4}-\d{2}-\d{2}[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$"


def session_schema(settings: Settings | None = None) -> dict[str, Any]:
    """The format of a session, as JSON Schema (draft 2020-12)."""
    limits = settings or Settings()
    time = {"type": "string", "format": "date-time", "pattern": TIME}
    near = f"At most {limits.future_hours} hours in the future and {limits.past_days} days in the past."
    bounded = time | _said(near)
    attributes = {
        "type": ["object", "null"],
        "description": "Facts by name. Members that the application's registry does not declare are not stored.",
        "maxProperties": limits.max_attributes,
        "propertyNames": {"pattern": f"^{NAME.pattern}$", "maxLength": limits.name_length},
        "additionalProperties": {
            "anyOf": [
                # No NUL, which storage cannot hold.
                {"type": "string", "maxLength": limits.string_length, "pattern": r"^[^\u0000]*$"},
                {"type": "number", "minimum": -(2**63), "maximum": 2**63 - 1},
                {"type": ["boolean", "null"]},
            ]
        },
    }
    kind = {"type": "string", "minLength": 1, "maxLength": limits.name_length, "pattern": r"^[^\u0000]+$"}
    event = _object(EVENT, {"type": kind, "time": bounded, "attributes": attributes}, ["type", "time"])
    span = _object(
        SPAN,
        {
            "type": kind,
            "startTime": bounded,
            "endTime": time | _said(f"Not before startTime. {near}"),
            "attributes": attributes,
        },
        ["type", "startTime", "endTime"],
    )
    uuid = {"type": "string", "pattern": f"^{UUID4.pattern}$"}
    return {
        "$schema": DIALECT,
        "title": "Session",
        "description": "One run of one application.",
        **_object(
            SESSION,
            {
                "sessionId": uuid | _said("New for each run. Sending a session again is safe: it counts once."),
                "userId": uuid | _said("The same for all runs of one installation."),
                "sessionStartTime": bounded,
                "sessionEndTime": time | _said(f"Not before sessionStartTime, compared with all digits. {near}"),
                "ingestionTime": {"anyOf": [time, {"type": "null"}], "description": "Overwritten by the function."},
                "applicationId": {"type": "string", "minLength": 1, "description": "An id in the registry."},
                "applicationVersion": {
                    "type": "string",
                    "pattern": f"^{VERSION.pattern}$",
                    "maxLength": limits.string_length,
                },
                "attributes": attributes,
                "events": {"type": ["array", "null"], "maxItems": limits.max_events, "items": event},
                "spans": {"type": ["array", "null"], "maxItems": limits.max_spans, "items": span},
            },
            ["sessionId", "userId", "sessionStartTime", "sessionEndTime", "applicationId", "applicationVersion"],
        ),
    }


def _said(description: str) -> dict[str, Any]:
    return {"description": description}


def _object(members: frozenset[str], properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    assert members == properties.keys(), "the schema has lost or gained a member"
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


FAULT = {
    "type": "object",
    "properties": {
        "key": {"type": "string", "description": "Where: `userId`, `events[0].time`, `attributes[name]`."},
        "type": {
            "type": "string",
            "description": "The rule: `required`, `uuid4`, `gtefield`, …; `more` counts those that are not listed.",
        },
        "invalidValue": {"description": "The value that was sent; left out for `required`."},
        "message": {"type": "string"},
    },
    "required": ["key", "type", "message"],
    "additionalProperties": False,
}
ERROR = {
    "type": "object",
    "properties": {"message": {"type": "string"}, "validationErrors": {"type": "array", "items": FAULT, "minItems": 1}},
    "required": ["message"],
    "additionalProperties": False,
}
RESULTS = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "Parts that a too large answer leaves out."},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "line": {"type": "integer", "minimum": 1},
                    "sessionId": {
                        "type": ["string", "null"],
                        "description": "null where the line has none, and in answers that would be too large.",
                    },
                    "status": {"enum": [201, 304, 400, 410, 413, 503]},
                    "error": {"$ref": "#/components/schemas/Error"},
                },
                "required": ["line", "sessionId", "status"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["results"],
    "additionalProperties": False,
}


def openapi(version: str, settings: Settings | None = None) -> dict[str, Any]:
    """The function's routes, as OpenAPI 3.1. `version` is that of this package."""
    limits = settings or Settings()
    session = session_schema(limits)
    del session["$schema"]

    def answer(description: str, schema: str | None = None, **headers: str) -> dict[str, Any]:
        made: dict[str, Any] = {
            "description": description,
            "headers": {name: {"schema": {"type": "string"}} for name, _ in SECURITY}
            | {name.replace("_", "-"): {"schema": {"type": kind}} for name, kind in headers.items()},
        }
        if schema:
            made["content"] = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        return made

    refused = {
        "400": answer("Refused: `validationErrors` names every fault", "Error"),
        "408": answer("The body took too long", "Error"),
        "410": answer("The application is retired: delete the queue and stop", "Error"),
        "413": answer("Too large", "Error"),
        "429": answer("Too many requests: send it again later", Retry_After="integer"),
        "503": answer("Busy: send it again later", "Error", Retry_After="integer"),
    }
    encoding = {
        "name": "Content-Encoding",
        "in": "header",
        "required": False,
        "schema": {"enum": ["gzip", "identity"]},
        "description": "The size limits count inflated bytes.",
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Abaculus ingest",
            "version": version,
            "description": "Accepts sessions of command-line tools and stores each once.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/": {"get": {"operationId": "root", "responses": {"204": answer("The function is here")}}},
            "/ping": {
                "get": {
                    "operationId": "ping",
                    "responses": {
                        "200": answer("It answers") | {"content": {"text/plain": {"schema": {"const": "pong"}}}}
                    },
                }
            },
            "/v1/sessions": {
                "put": {
                    "operationId": "putSession",
                    "summary": "Store one session",
                    "parameters": [encoding],
                    "requestBody": {
                        "required": True,
                        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Session"}}},
                        "description": f"At most {limits.body_bytes} bytes.",
                    },
                    "responses": {
                        "201": answer("Stored, confirmed by the bucket"),
                        "304": answer("Stored already"),
                        **refused,
                    },
                },
                "post": {
                    "operationId": "postSessions",
                    "summary": "Store several sessions, one on each line; each line is checked separately",
                    "parameters": [encoding],
                    "requestBody": {
                        "required": True,
                        "content": {NDJSON: {"schema": {"type": "string"}}},
                        "description": f"At most {limits.batch_lines} lines and {limits.batch_bytes} bytes.",
                    },
                    "responses": {
                        "200": answer("The result of each line", "Results"),
                        **refused,
                        "410": answer("The application of every line is retired", "Results"),
                    },
                },
            },
        },
        "components": {"schemas": {"Session": session, "Error": ERROR, "Results": RESULTS}},
    }
