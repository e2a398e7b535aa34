"""The admin's password: who may change clients."""

from __future__ import annotations

import asyncio
import hmac
import os
from hashlib import sha256

from gateway.db import Database
from gateway.errors import Overloaded
from gateway.first_launch import ADMIN_PASSWORD_HASH
from gateway.secret import Secret
from gateway.vault import verify_password

MAX_WAITING = 20
"""Guesses that may wait for their turn: somebody who tries passwords must not fill the memory."""


class AdminAuth:
    """Checks the admin's user and password.

    Argon2id takes tens of milliseconds by design, so it runs on a thread, and a password that was right is
    recognised again by a keyed hash until the stored one changes.
    """

    def __init__(self, db: Database, username: str) -> None:
        self._db = db
        self._username = username
        self._key = os.urandom(32)
        self._known: tuple[str, bytes] | None = None
        self._turn = asyncio.Lock()  # one guess at a time: each costs a thread and 19 MiB
        self._waiting = 0

    async def check(self, user: str, password: Secret) -> bool:
        """Whether both are right. Raises `Overloaded` when too many others are being checked."""
        stored = await self._db.setting(ADMIN_PASSWORD_HASH)
        if stored is None or not password:
            return False
        right_user = hmac.compare_digest(user.encode(), self._username.encode())
        digest = hmac.digest(self._key, password.reveal().encode(), sha256)
        if (
            self._known is not None
            and self._known[0] == stored
            and hmac.compare_digest(self._known[1], digest)
        ):
            return right_user
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many sign-ins at once: try again in a moment", retry_after_s=1)
        self._waiting += 1
        try:
            async with self._turn:
                right = await asyncio.to_thread(verify_password, password.reveal(), stored)
        finally:
            self._waiting -= 1
        if right:
            self._known = (stored, digest)
        return right and right_user
