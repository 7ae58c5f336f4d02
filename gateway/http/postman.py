"""The routes as a Postman collection (v2.1), with their examples, for people who try things by hand."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.http.body import FormBody, JsonBody
from gateway.http.routes import Route

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")

Json = dict[str, Any]


def collection(routes: Sequence[Route], version: str) -> Json:
    """The collection: a folder for each dialect; `baseUrl` and `apiKey` are its variables. version: of Troupe."""
    shown = [route for route in routes if route.documented]
    folders = dict.fromkeys(route.dialect.name for route in shown)
    return {
        "info": {"name": "Troupe", "version": version, "schema": SCHEMA},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{apiKey}}", "type": "string"}]},
        "variable": [{"key": "baseUrl", "value": "http://127.0.0.1:8080"}, {"key": "apiKey", "value": ""}],
        "item": [
            {"name": name, "item": [item for route in shown if route.dialect.name == name for item in _items(route)]}
            for name in folders
        ],
    }


def _items(route: Route) -> list[Json]:
    if not route.examples:
        return [_item(route, route.summary, None)]
    return [_item(route, f"{route.summary} ({name})", value) for name, value in route.examples.items()]


def _item(route: Route, name: str, example: Any) -> Json:
    path = _PARAMETER.sub(r":\1", route.path).strip("/")
    values = [{"key": given.name, "value": given.example} for given in route.parameters if given.place == "path"]
    request: Json = {
        "method": route.verb,
        "header": [],
        "url": {"raw": f"{{{{baseUrl}}}}/{path}", "host": ["{{baseUrl}}"], "path": path.split("/"), "variable": values},
    }
    if not route.key:
        request["auth"] = {"type": "noauth"}
    if route.body is not None:
        request["body"] = _body(route, example)
        if not isinstance(route.body, FormBody):
            request["header"].append({"key": "Content-Type", "value": route.body.media_type})
    return {"name": name, "request": request}


def _body(route: Route, example: Any) -> Json:
    if isinstance(route.body, JsonBody):
        raw = msgspec.json.format(msgspec.json.encode(example if example is not None else {}), indent=2).decode()
        return {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}
    if isinstance(route.body, FormBody):
        files = [{"key": name, "type": "file", "src": []} for name in route.body.files]
        fields = [{"key": name, "type": "text", "value": ""} for name in route.body.fields]
        return {"mode": "formdata", "formdata": files + fields}
    return {"mode": "file", "file": {}}
