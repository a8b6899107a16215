"""A security key that registers itself (WebAuthn §6.5), without an attestation."""

import base64
import hashlib
import json
import secrets

from cryptography.hazmat.primitives.asymmetric import ec

AAGUID = bytes.fromhex("5ca1ab1e000000000000000000000001")
# The flags of authenticator data: the user was present and verified, and credential data follows.
FLAGS = b"\x45"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def registration(origin, host, challenge, label):
    """Returns the fields of the form that registers a new key."""
    credential = secrets.token_bytes(16)
    size = len(credential).to_bytes(2, "big")
    data = hashlib.sha256(host.encode()).digest() + FLAGS + bytes(4)
    data += AAGUID + size + credential + _public_key()
    # CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
    attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58" + bytes([len(data)]) + data
    client = {"type": "webauthn.create", "challenge": challenge, "origin": origin}
    return {
        "clientDataJSON": encoded(json.dumps(client).encode()),
        "attestationObject": encoded(attestation),
        "publicKeyCredentialId": encoded(credential),
        "authenticatorLabel": label,
    }


def _public_key():
    """Returns a new public key for ES256 (RFC 9053 §7.1.1) in CBOR."""
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
    # {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}
    return b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + x + b"\x22\x58\x20" + y
