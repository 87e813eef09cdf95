"""Where a browser logs in: with a token, or with the one-time code in the link of ``hub login-link``.

The code is used by a button and not by opening the link: programs that show a preview of links open them, too.
"""

import html
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub import access
from kegnet_client.hub.domain.numerals import Language
from kegnet_client.hub.ingest.body import BodyError, read_body
from kegnet_client.hub.store import house, tokens
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

_MAX_BODY_BYTES = 4096
_FORM = "application/x-www-form-urlencoded"

_PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>KegNet hub</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 15vh auto; padding: 0 1rem; }}
input, button {{ font: inherit; width: 100%; box-sizing: border-box; padding: .6rem; margin-top: .5rem; }}
button {{ cursor: pointer; }}
[role=alert] {{ color: #a00; }}
:root {{ color-scheme: light dark; }}
</style>
</head>
<body>
<h1>KegNet hub</h1>
{told}
<form method="post">
{field}
<button>{button}</button>
</form>
</body>
</html>
"""
_FIELD = """<label for="token">{token}</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>"""
_WRONG = '<p role="alert">{}</p>'
_TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "token": "Token",
        "button": "Log in",
        "gone": "The token of this browser was revoked or has expired: log in again.",
        "wrong": "This is no token of this hub, or it was revoked.",
        "used": "This link was used already or is too old: `kegnet-client hub login-link` makes another.",
    },
    "de": {
        "token": "Token",
        "button": "Anmelden",
        "gone": "Das Token dieses Browsers wurde gesperrt oder ist abgelaufen: bitte neu anmelden.",
        "wrong": "Das ist kein Token dieses Hubs, oder es wurde gesperrt.",
        "used": "Dieser Link wurde schon benutzt oder ist zu alt: `kegnet-client hub login-link` macht einen neuen.",
    },
}


def make_router(store: Store, find: access.Find, on_wrong: access.OnWrong, clock_ms: Callable[[], int]) -> APIRouter:
    """The pages, which let in whom ``find`` knows and who has a code that is in ``store``."""
    router = APIRouter(include_in_schema=False)

    def find_language() -> Language:
        try:
            return store.look(house.read_settings).language
        except StoreError:
            return "en"

    def show(language: Language, code: str = "", wrong: str = "") -> str:
        texts = _TEXTS[language]
        hidden = f'<input type="hidden" name="code" value="{html.escape(code[:100])}">'
        field = hidden if code else _FIELD.format(token=texts["token"])
        told = _WRONG.format(texts[wrong]) if wrong else ""
        return _PAGE.format(language=language, told=told, field=field, button=texts["button"])

    @router.get(access.LOGIN_PATH)
    def page(code: str = "", gone: str = "") -> Response:
        """The form, and why somebody whose token is ``gone`` has come here."""
        shown = show(find_language(), code, "gone" if gone else "")
        return HTMLResponse(shown, headers={"Cache-Control": "no-store"})

    @router.post(access.LOGIN_PATH)
    async def log_in(request: Request) -> Response:
        """Take the token or the code of the form."""
        try:
            body = await read_body(request, _FORM, _MAX_BODY_BYTES)
        except BodyError as error:
            return HTMLResponse(html.escape(str(error)), error.status, error.headers)
        fields = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        home = f"{request.scope.get('root_path', '')}/"
        if code := fields.get("code"):
            secret = await run_in_threadpool(_use, code)
            if secret is not None:
                return access.admit(home, secret)
            wrong = "used"
        else:
            secret = fields.get("token", "").strip()
            if secret and await run_in_threadpool(find, tokens.hash_of(secret)) is not None:
                return access.admit(home, secret)
            wrong = "wrong"
        on_wrong(request)
        return HTMLResponse(show(await run_in_threadpool(find_language), wrong=wrong), 403)

    def _use(code: str) -> str | None:
        # Whoever makes codes up keeps no writer waiting.
        if not store.look(lambda connection: tokens.is_link(connection, code, clock_ms())):
            return None
        return store.write(lambda connection: tokens.use_link(connection, code, clock_ms()))

    @router.post(access.LOGOUT_PATH)
    def log_out(request: Request) -> Response:
        """Forget the cookie."""
        answer = RedirectResponse(f"{request.scope.get('root_path', '')}{access.LOGIN_PATH}", 303)
        answer.delete_cookie(access.COOKIE, secure=True, httponly=True)
        return answer

    return router
