"""Encryption of a snapshot: AES-GCM in chunks, under a key that scrypt makes of any text.

The STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár: the nonce of a chunk is a
random prefix, the chunk's number, and whether it is the last; the file's header is
authenticated with each. So a chunk opens only in its own place of its own file, and a
file that was cut, put together or changed does not open.
"""

from __future__ import annotations

import os
from hashlib import scrypt
from hmac import compare_digest
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scrapy_resilience.exceptions import SnapshotError, SnapshotKeyError

__all__ = ["Cipher", "Plain"]

_NAME: Final = "AES-256-GCM, scrypt"
_COST: Final = {"n": 2**15, "r": 8, "p": 1}  # 32 MiB and about 0.1 s
_KEY: Final = 32
_CHECK: Final = 16
_KEY_SETTING: Final = "RESILIENCE_ENCRYPTION_KEY"


class Plain:
    """No encryption, behind the same two methods."""

    parameters: Final = None

    def bind(self, header: bytes) -> None:
        pass

    def seal(self, chunk: bytes, *, last: bool) -> bytes:
        return chunk

    def open(self, chunk: bytes, *, last: bool) -> bytes:
        return chunk


class Cipher:
    """Seals or opens the chunks of one file, in order."""

    def __init__(self, key: str, salt: bytes, prefix: bytes) -> None:
        made = scrypt(key.encode(), salt=salt, maxmem=2**26, dklen=_KEY + _CHECK, **_COST)
        self._aead = AESGCM(made[:_KEY])
        self._check = made[_KEY:]
        self._prefix = prefix
        self._number = 0
        self._header = b""
        self.parameters = {
            "cipher": _NAME,
            **_COST,
            "salt": salt.hex(),
            "prefix": prefix.hex(),
            "check": self._check.hex(),
        }

    @classmethod
    def new(cls, key: str) -> Cipher:
        """For a file to write: the salt, and with it the key, is of this file only."""
        return cls(key, os.urandom(16), os.urandom(7))

    @classmethod
    def of(cls, parameters: dict[str, Any], key: str, name: str) -> Cipher:
        """For a file to read. Raises :exc:`SnapshotError`."""
        if not key:
            raise SnapshotKeyError(f"the snapshot {name} is encrypted: set {_KEY_SETTING}")
        try:
            known = {"cipher": _NAME, **_COST}.items() <= parameters.items()
            salt, prefix, check = (
                bytes.fromhex(parameters[part]) for part in ("salt", "prefix", "check")
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            known = False
        if not known:
            raise SnapshotError(
                f"the snapshot {name} is encrypted in a way that this version does not know"
            )
        cipher = cls(key, salt, prefix)
        if not compare_digest(cipher._check, check):
            raise SnapshotKeyError(
                f"the snapshot {name} was encrypted with another key: set {_KEY_SETTING} to "
                "the one that was in force"
            )
        return cipher

    def bind(self, header: bytes) -> None:
        """Authenticate *header* with each chunk."""
        self._header = header

    def seal(self, chunk: bytes, *, last: bool) -> bytes:
        return self._aead.encrypt(self._nonce(last=last), chunk, self._header)

    def open(self, chunk: bytes, *, last: bool) -> bytes:
        """Raises :exc:`InvalidTag` for a chunk that is not the next one of this file."""
        return self._aead.decrypt(self._nonce(last=last), chunk, self._header)

    def _nonce(self, *, last: bool) -> bytes:
        number, self._number = self._number, self._number + 1
        return self._prefix + number.to_bytes(4, "big") + bytes([last])
