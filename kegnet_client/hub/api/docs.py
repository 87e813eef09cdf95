"""The page that shows the API, with everything that it loads served by the hub itself.

The scripts are Swagger UI as the package ``fastapi-offline`` carries it; of that package nothing else is used.
"""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

# Relative links lead back through a proxy that cuts a prefix off the path.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>KegNet hub</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

# Without `validatorUrl: null` Swagger UI sends the API's description to a validator elsewhere.
_START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
"""

_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request) -> Response:
    """The taps, where there is a dashboard; else the API's page."""
    page = getattr(request.app.state, "home", "/docs")
    return RedirectResponse(f"{request.scope.get('root_path', '')}{page}", status_code=303)


@router.get("/docs")
def page() -> Response:
    """The page itself."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
def start() -> Response:
    """What starts Swagger UI; a file of its own, because the page's policy runs no script inside it."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/{name}")
def file(name: str) -> Response:
    """One of Swagger UI's own files."""
    if name not in _FILES:
        raise HTTPException(404)
    return FileResponse(Path(str(files("fastapi_offline") / "static" / name)), media_type=_FILES[name])
