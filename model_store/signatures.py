"""manifest.sig: who has approved an artifact. An Ed25519 signature (RFC 8032) of the bytes of manifest.json.

The manifest names the family, the version and the SHA-256 of each file, so its signature stands for all of them. It is
made by whoever decides what may be served, with a key that the service never sees; the service has the public keys. The
formats are OpenSSL's, which makes and checks the same without any of this: 64 bytes as they are, and keys as PEM
(RFC 8410), any number of public ones in a file.
"""

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from model_store.errors import InvalidKey, NotSigned

SIGNATURE_BYTES = 64
_PUBLIC_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The public keys whose owners may approve an artifact."""

    keys: tuple[Ed25519PublicKey, ...]

    @classmethod
    def read(cls, path: Path) -> "TrustedKeys":
        """The keys of a file: one or more in PEM; what stands between them is a comment.

        Raises
        ------
        InvalidKey
        """
        data = _read(path)
        blocks, keys = _PUBLIC_PEM.findall(data), []
        for pem in blocks:
            with suppress(ValueError, UnsupportedAlgorithm):
                key = s.load_pem_public_key(pem)
                keys += [key] if isinstance(key, Ed25519PublicKey) else []
        if not keys or len(keys) != len(blocks) or b"PRIVATE KEY" in data:
            rule = "A file of trusted keys holds public Ed25519 keys in PEM, and nothing that is secret"
            raise InvalidKey(f"{rule}. Received: {path}, with {len(keys)} such keys.")
        return cls(tuple(keys))

    def check(self, folder: Path, data: bytes, signature: bytes | None) -> None:
        """See that one of the keys has signed a manifest.

        Parameters
        ----------
        folder : the artifact's, to name it
        data : the manifest's bytes
        signature : those of manifest.sig; None if there is none

        Raises
        ------
        NotSigned
        """
        for key in self.keys:
            try:
                key.verify(signature or b"", data)
            except InvalidSignature:
                continue
            return
        trusted = ", ".join(fingerprint(key) for key in self.keys)
        received = "without a signature" if signature is None else "with another signature, or another manifest"
        raise NotSigned(f"An artifact is signed by one of the keys {trusted}. Received: {folder}, {received}.")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The secret half of a key."""

    key: Ed25519PrivateKey

    @classmethod
    def read(cls, path: Path) -> "SigningKey":
        """The one in a PEM file, which is not encrypted.

        Raises
        ------
        InvalidKey
        """
        data = _read(path)
        with suppress(ValueError, TypeError, UnsupportedAlgorithm):
            key = s.load_pem_private_key(data, password=None)
            if isinstance(key, Ed25519PrivateKey):
                return cls(key)
        raise InvalidKey(f"A signing key is a private Ed25519 key in PEM, not encrypted. Received: {path}.")

    def sign(self, data: bytes) -> bytes:
        """The signature of a manifest's bytes: what manifest.sig holds."""
        return self.key.sign(data)

    @property
    def fingerprint(self) -> str:
        """That of its public half."""
        return fingerprint(self.key.public_key())


def fingerprint(key: Ed25519PublicKey) -> str:
    """What a key is called: the first 16 digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def make(path: Path) -> SigningKey:
    """Make a key: its secret half at `path`, for its owner alone, and the public one beside it, with ``.pub``.

    Raises
    ------
    InvalidKey
        There is a file of either name already, or none can be made.
    """
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    for name, data, mode in ((path, secret, 0o600), (path.with_name(f"{path.name}.pub"), public, 0o644)):
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise InvalidKey(f"A new key is written to a new file. Received: {name}, {error.strerror}.") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    return SigningKey(key)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidKey(f"A key's file can be read. Received: {path}, {error.strerror}.") from None
