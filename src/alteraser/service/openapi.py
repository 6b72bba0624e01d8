"""What OpenAPI says of bodies and errors, which are read by hand: stricter than a model of them
would be.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

ID = {"oneOf": [{"type": "integer", "format": "int64"}, {"type": "string", "maxLength": 65536}]}
IDS = {"type": "array", "minItems": 1, "maxItems": 100_000, "items": ID}
PAIR = {"type": "array", "minItems": 2, "maxItems": 2, "items": ID}
PAIRS = {"type": "array", "minItems": 1, "maxItems": 100_000, "items": PAIR}
FROM = {
    "type": "string",
    "description": "Of this relation alone, where the model learned from several sources",
}
ENTITY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["table", "id"],
    "properties": {"table": {"type": "string"}, "id": ID},
}
ATTRIBUTES = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "description": "table:feature, such as user:age"},
}
WORDS = {"type": "object", "additionalProperties": {"type": "string"}}
WHEN = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
OPTIONS = {
    "regulation": {"type": "string", "enum": ["gdpr", "ccpa"]},
    "due": {"type": "string", "description": "ISO 8601; earlier than the regulation's"},
    "hold": {"oneOf": [{"type": "boolean"}, PAIRS]},
}


def _scope(**fields: Any) -> dict[str, Any]:
    required = [name for name in fields if name not in ("since", "until", "from")]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": fields | OPTIONS,
    }


BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("/v1/requests", "post"): {
        "oneOf": [
            _scope(users=IDS, **{"from": FROM}),
            _scope(items=IDS, **{"from": FROM}),
            _scope(pairs=PAIRS, **{"from": FROM}),
            _scope(user=ID, since=WHEN, until=WHEN, **{"from": FROM}),
            _scope(sessions=IDS),
            _scope(baskets=IDS),
            _scope(user=ID, sessions=IDS),
            _scope(user=ID, baskets=IDS),
            _scope(entity=ENTITY),
            _scope(entities={"type": "array", "minItems": 1, "maxItems": 100_000, "items": ENTITY}),
            _scope(attributes=ATTRIBUTES),
            _scope(attributes=ATTRIBUTES, users=IDS),
            _scope(attributes=ATTRIBUTES, items=IDS),
            _scope(attributes=ATTRIBUTES, user=ID),
        ]
    },
    ("/v1/recommendations", "post"): {
        "type": "object",
        "additionalProperties": False,
        "oneOf": [{"required": ["features"]}, {"required": ["user"]}],
        "properties": {
            "user": ID,
            "among": IDS,
            "features": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {
                    "oneOf": [
                        {"type": "number"},
                        {"type": "string"},
                        {"type": "array", "items": {"type": "string"}},
                    ]
                },
            },
            "context": WORDS,
            "k": {"type": "integer", "minimum": 1, "maximum": 1000},
            "scores": {"type": "boolean"},
        },
    },
    ("/v1/interactions", "post"): {
        "type": "object",
        "additionalProperties": False,
        "required": ["interactions"],
        "properties": {
            "relation": {
                "type": "string",
                "description": "Which relation these are rows of; without it the interactions",
            },
            "interactions": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100_000,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "anyOf": [{"required": ["user", "item"]}, {"required": ["head", "tail"]}],
                    "properties": {
                        "user": ID,
                        "item": ID,
                        "head": ID,
                        "relation": ID,
                        "tail": ID,
                        "context": WORDS,
                        "timestamp": WHEN,
                        "value": {"type": "number"},
                        "segment": ID,
                        "session": ID,
                        "basket": ID,
                    },
                },
            },
        },
    },
    ("/v1/webhooks", "post"): {
        "type": "object",
        "additionalProperties": False,
        "required": ["url"],
        "properties": {"url": {"type": "string", "format": "uri", "maxLength": 2000}},
    },
    ("/v1/keys", "post"): {
        "type": "object",
        "additionalProperties": False,
        "required": ["scopes"],
        "properties": {
            "scopes": {"type": "array", "minItems": 1, "items": {"type": "string"}},
            "rate_limit": {"type": "integer", "minimum": 0},
            "expires": {"type": "string"},
        },
    },
}
"""(path, method) → JSON schema of its body"""

OPEN = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that need no key"""

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {name: {"type": "string"} for name in ("type", "title", "code", "detail")}
    | {"status": {"type": "integer"}},
}
IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Needed unless dry_run is set",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def describe(app: FastAPI) -> None:
    """Have ``/openapi.json`` say what bodies are, that a key is needed, and what errors look
    like.
    """
    made = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = made()
        components = document.setdefault("components", {})
        components["schemas"] = {"Problem": PROBLEM}
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _complete(path, method, operation)
        return document

    app.openapi = whole  # type: ignore[method-assign]


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    error = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"]["default"] = {
        "description": "An error, with a stable code",
        "content": error,
    }
    if path not in OPEN:
        operation["security"] = [{"key": []}]
    body = BODIES.get((path, method))
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    if (path, method) == ("/v1/requests", "post"):
        operation.setdefault("parameters", []).append(IDEMPOTENCY)
