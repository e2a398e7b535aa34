"""The admin's password: who may change clients."""

from __future__ import annotations

import asyncio
import hmac
import os
from hashlib import sha256

from gateway.db import Database
from gateway.first_launch import ADMIN_PASSWORD_HASH
from gateway.secret import Secret
from gateway.vault import verify_password


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
        self._turn = asyncio.Lock()  # one guess at a time: each costs a thread and 64 MB

    async def check(self, user: str, password: Secret) -> bool:
        """Whether both are right."""
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
        async with self._turn:
            right = await asyncio.to_thread(verify_password, password.reveal(), stored)
        if right:
            self._known = (stored, digest)
        return right and right_user
