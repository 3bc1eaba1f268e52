"""The gateway's door: a page shows the pages' key, or a person's password, and is known by a cookie then.

The cookie lets in the pages of whoever runs the suite, or those of one person, who barks as nobody else. Only
pages of the gateway's own get one: a browser says whose a page is that asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from aiohttp import web

from barker.amqp.sign_in import WRONG, SignIn
from barker.core.access import STRANGER, Identity
from barker.core.admission import SIGNED_IN_SECONDS, Admission
from barker.core.barks import is_user
from barker.web.pages import line

KEY_PATH, SIGN_IN_PATH, SIGN_OUT_PATH = "/key", "/sign-in", "/sign-out"
"""Where a page shows the key or its cookie; a name and a password; and where it gives the cookie back."""

PATHS = (KEY_PATH, SIGN_IN_PATH, SIGN_OUT_PATH)

KEY_PROTOCOL = "barker-key."
"""Who has no cookie, as a page from the disk, offers this and the pages' key as one subprotocol more: headers
are in no log, and neither in a browser's console, where each URL is."""

MOST_BYTES = 1024
"""What a page may say at the door."""

PASSWORD_SECONDS = 10.0
"""How long a password may take to be looked at, with those before it."""


class Door:
    """Lets requests in, by what they show."""

    def __init__(
        self,
        admission: Admission,
        sign_in: SignIn | None,
        call_soon: Callable[[Callable[[], None]], None],
        wall: Callable[[], float],
    ) -> None:
        """`sign_in` is another thread's, where `call_soon` has something called; `wall` as `time.time`."""
        self.admission, self._sign_in, self._call_soon, self._wall = admission, sign_in, call_soon, wall

    def who(self, request: web.BaseRequest, protocols: list[str]) -> Identity:
        """By whom a request is made, as far as that is shown: an operator, a person, or a stranger."""
        keys = [name for name in protocols if name.startswith(KEY_PROTOCOL)]
        key = keys[0].removeprefix(KEY_PROTOCOL) if keys else ""
        return self._who(request, key)

    def _who(self, request: web.BaseRequest, key: str) -> Identity:
        cookies = _cookies(request, self.admission.cookie_name)
        who = self.admission.who(request.headers.get("Origin"), key, cookies, self._wall())
        # Who has lost the password is nobody from then on.
        return who if who.kind != "person" or (self._sign_in and self._sign_in.knows(who.name)) else STRANGER

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """A page of ours at one of the :data:`PATHS`."""
        if request.path == SIGN_OUT_PATH:
            return self._with_cookie(web.Response(status=204), request, "")
        said = await _body(request)
        if request.path == SIGN_IN_PATH:
            return await self._on_sign_in(request, said)
        who = self._who(request, said)
        if who == STRANGER:
            # Where people have passwords, the page asks for one.
            return line(401 if self._sign_in and self._sign_in.there else 403, self.admission.wants)
        if who.kind == "person":
            return web.Response(text=who.name)
        return self._with_cookie(web.Response(status=204), request, self.admission.cookie)

    async def _on_sign_in(self, request: web.BaseRequest, said: str) -> web.StreamResponse:
        name, _, password = said.partition("\n")
        if self._sign_in is None or not self._sign_in.there:
            return line(404, "nobody has a password here: 'barker people add NAME' gives one, with TLS")
        refusal = WRONG
        if is_user(name) and password:
            refusal = await self._looked_at(self._sign_in, request.remote or "", name, password)
        if refusal:
            return line(403 if refusal == WRONG else 503, refusal)
        cookie = self.admission.cookie_of(name, self._wall() + SIGNED_IN_SECONDS)
        return self._with_cookie(web.Response(text=name), request, cookie, SIGNED_IN_SECONDS)

    async def _looked_at(self, sign_in: SignIn, host: str, name: str, password: str) -> str:
        """Why that password is refused; empty if it is not."""
        answer: Future[str] = Future()

        def then(refusal: str) -> None:
            if answer.set_running_or_notify_cancel():
                answer.set_result(refusal)

        self._call_soon(lambda: sign_in.ask(host, name, password, then))
        try:
            async with asyncio.timeout(PASSWORD_SECONDS):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            return "too many sign in at once; try again later"

    def _with_cookie(
        self, response: web.Response, request: web.BaseRequest, value: str, seconds: int | None = None
    ) -> web.Response:
        """The answer, with a cookie for `seconds`, or as long as the browser is open; or to forget it."""
        # Over HTTPS, be it ours or that of a proxy before us, the browser never sends it otherwise.
        secure = (request.headers.get("Origin") or "").startswith("https:")
        response.set_cookie(
            self.admission.cookie_name,
            value,
            path="/",
            max_age=seconds if value else 0,
            httponly=True,
            samesite="Strict",
            secure=secure,
        )
        return response


async def _body(request: web.BaseRequest) -> str:
    """What a page says: no more than it may is read."""
    if not 0 < (request.content_length or 0) <= MOST_BYTES:
        return ""
    try:
        return (await request.content.readexactly(request.content_length or 0)).decode(errors="replace")
    except (ConnectionError, asyncio.IncompleteReadError):
        return ""  # It has gone.


def _cookies(request: web.BaseRequest, name: str) -> list[str]:
    """What is in the cookies of that name. Those of others at this host come too, and may be anything."""
    pairs = (pair.strip().partition("=") for pair in request.headers.get("Cookie", "").split(";"))
    return [value for each, _, value in pairs if each == name]
