#!/usr/bin/env python3
"""Checks the golden vectors from the JSON alone, with no code of ours.

    pip install 'cryptography>=48' mnemonic tzdata
    python3 check.py

It is also the shortest complete reference: every derivation of `../README.md` stands here in a few lines. X25519,
ML-KEM-768, AES, ChaCha20-Poly1305 and Argon2id come from `cryptography` (OpenSSL); hashes, HMAC and HKDF are Python's
own; X-Wing and HPKE are put together here from their specifications. Safety words and recovery words need the BIP-39
English list: give the path of its `english.txt` as the first argument, or have the package `mnemonic` installed;
otherwise they are not covered.
"""

import base64
import bisect
import hashlib
import hmac
import json
import os
import re
import struct
import sys
from datetime import date, datetime, timedelta, timezone
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_der_x509_certificate

HERE = os.path.dirname(os.path.abspath(__file__))
counts = {}
uncovered = []


def load(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return json.load(file)


def unhex(text):
    return bytes.fromhex(text)


def same(file, comment, got, wanted):
    if got != wanted:
        sys.exit(f"{file}: {comment}: got {got!r}, wanted {wanted!r}")
    counts[file] = counts.get(file, 0) + 1


# ---------------------------------------------------------------- primitives


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac_sha256(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def hkdf_expand(prk, info, length=32):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac_sha256(prk, block, info, bytes([counter]))
        out, counter = out + block, counter + 1
    return out[:length]


def hkdf(salt, ikm, info, length=32):
    return hkdf_expand(hmac_sha256(salt, ikm), info, length)


class Degenerate(Exception):
    """X25519 gave zero."""


def x25519(secret, public):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Degenerate from None


def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


# ---------------------------------------------------------------- X-Wing and HPKE


class XWing:
    """draft-connolly-cfrg-xwing-kem. Encapsulation takes given randomness only through ML-KEM, which `cryptography`
    does not offer, so vectors are checked by decapsulating, and the X25519 half of them by encapsulating."""

    def __init__(self, seed):
        expanded = hashlib.shake_256(seed).digest(96)
        self.ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self.x25519 = expanded[64:]
        self.x25519_public = x25519_public(self.x25519)
        self.public = self.ml_kem.public_key().public_bytes_raw() + self.x25519_public

    def decapsulate(self, enc):
        shared_m, enc_x = self.ml_kem.decapsulate(enc[:1088]), enc[1088:]
        return hashlib.sha3_256(
            shared_m + x25519(self.x25519, enc_x) + enc_x + self.x25519_public + rb"\.//^" + b"\\"
        ).digest()


def hpke_key_schedule(mode, kem_id, shared_secret, info, psk, psk_id):
    """RFC 9180 section 5.1, with HKDF-SHA256 and ChaCha20-Poly1305. Gives key and base nonce."""
    suite = b"HPKE" + struct.pack(">HHH", kem_id, 1, 3)

    def extract(salt, label, ikm):
        return hmac_sha256(salt or bytes(32), b"HPKE-v1", suite, label, ikm)

    def expand(prk, label, context, length):
        return hkdf_expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + context, length)

    context = bytes([mode]) + extract(b"", b"psk_id_hash", psk_id) + extract(b"", b"info_hash", info)
    secret = extract(shared_secret, b"secret", psk)
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)


class DoesNotOpen(Exception):
    """The one answer to every box that is not right."""


def open_box(case, box):
    """A sealed box to its payload, as ../README.md has it."""
    header, enc, text = box[:2], box[2:1122], box[1122:]
    if header == b"\x01\x01":
        wanted = 1984
    elif header == b"\x01\x02":
        wanted = 16320
    else:
        raise DoesNotOpen
    if len(box) != wanted:
        raise DoesNotOpen
    info = b"tacit v1 box" + b"\x01" + unhex(case["channel"]) + bytes([case["sender"], case["purpose"]])
    same("sealed-boxes.json", "info", info.hex(), case["info"])
    try:
        shared = XWing(unhex(case["sealing_seed"])).decapsulate(enc)
        key, nonce = hpke_key_schedule(1, 0x647A, shared, info, unhex(case["psk"]), b"tacit v1")
        plaintext = ChaCha20Poly1305(key).decrypt(nonce, text, header)
    except (InvalidTag, Degenerate):
        raise DoesNotOpen from None
    (length,) = struct.unpack(">H", plaintext[:2])
    if 2 + length > len(plaintext) or any(plaintext[2 + length :]):
        raise DoesNotOpen
    return plaintext[2 : 2 + length]


def check_external():
    for case in load("external/x-wing.json")["cases"]:
        key = XWing(unhex(case["seed"]))
        same("external/x-wing.json", case["comment"], key.public.hex(), case["pk"])
        same("external/x-wing.json", case["comment"], key.decapsulate(unhex(case["ct"])).hex(), case["ss"])
        same("external/x-wing.json", case["comment"], x25519_public(unhex(case["eseed"])[32:]).hex(), case["ct"][-64:])
    for case in load("external/hpke.json")["cases"]:
        if case["kem_id"] == 0x647A:
            shared = XWing(unhex(case["sk_recipient"])).decapsulate(unhex(case["enc"]))
            same("external/hpke.json", case["comment"], shared.hex(), case["shared_secret"])
        key, nonce = hpke_key_schedule(
            case["mode"],
            case["kem_id"],
            unhex(case["shared_secret"]),
            unhex(case["info"]),
            unhex(case["psk"]),
            unhex(case["psk_id"]),
        )
        same("external/hpke.json", case["comment"], (key.hex(), nonce.hex()), (case["key"], case["base_nonce"]))
        text = ChaCha20Poly1305(key).encrypt(nonce, unhex(case["plaintext"]), unhex(case["aad"]))
        same("external/hpke.json", case["comment"], text.hex(), case["ciphertext"])


def check_sealed_boxes():
    name = "sealed-boxes.json"
    file = load(name)
    for case in file["cases"]:
        key = XWing(unhex(case["sealing_seed"]))
        same(name, case["comment"], key.public.hex(), case["sealing_public"])
        if "box" in case:
            box = unhex(case["box"])
            same(name, case["comment"], key.decapsulate(box[2:1122]).hex(), case["shared_secret"])
            same(name, case["comment"], x25519_public(unhex(case["randomness"])[32:]), box[1090:1122])
            same(name, case["comment"], open_box(case, box).hex(), case["payload"])
        else:
            payload = bytes(i % 251 for i in range(case["payload_length"]))
            enc, shared = unhex(case["enc"]), key.decapsulate(unhex(case["enc"]))
            same(name, case["comment"], shared.hex(), case["shared_secret"])
            aead_key, nonce = hpke_key_schedule(
                1, 0x647A, shared, unhex(case["info"]), unhex(case["psk"]), b"tacit v1"
            )
            plaintext = (struct.pack(">H", len(payload)) + payload).ljust(15182, b"\0")
            text = ChaCha20Poly1305(aead_key).encrypt(nonce, plaintext, b"\x01\x02")
            same(name, case["comment"], sha256(b"\x01\x02", enc, text).hex(), case["box_sha256"])
            same(name, case["comment"], open_box(case, b"\x01\x02" + enc + text), payload)
    for case in file["refused"]["cases"]:
        try:
            open_box(case, unhex(case["box"]))
        except DoesNotOpen:
            same(name, case["comment"], "refused", "refused")
        else:
            sys.exit(f"{name}: {case['comment']}: it opened")


def check_box_forms():
    for case in load("box-forms.json")["cases"]:
        form = {("0101", 1984): "small", ("0102", 16320): "large"}.get((case["header"], case["length"]), "NotABox")
        same("box-forms.json", case["comment"], form, case["expected"])


# ---------------------------------------------------------------- proofs, permits, links


def check_permits():
    for case in load("permits.json")["cases"]:
        same("permits.json", case["comment"], sha256(unhex(case["secret"])).hex(), case["hash"])


def prove(shared, nonce, end_public, session_public, channel, end, command, arguments):
    key = hkdf(nonce, shared, b"tacit v1 proof key" + end_public + session_public)
    message = b"tacit v1 proof" + nonce + channel + bytes([end, command]) + sha256(arguments)
    return key, message, hmac_sha256(key, message)


def check_proofs():
    name = "proofs.json"
    file = load(name)
    for case in file["cases"]:
        comment = case["comment"]
        end_public, session_public = unhex(case["end_public"]), unhex(case["session_public"])
        same(name, comment, x25519_public(unhex(case["end_secret"])), end_public)
        same(name, comment, x25519_public(unhex(case["session_secret"])), session_public)
        shared = x25519(unhex(case["end_secret"]), session_public)
        same(name, comment, shared, x25519(unhex(case["session_secret"]), end_public))
        same(name, comment, shared.hex(), case["shared"])
        key, message, proof = prove(
            shared,
            unhex(case["nonce"]),
            end_public,
            session_public,
            unhex(case["channel"]),
            case["end"],
            case["command"],
            unhex(case["arguments"]),
        )
        wanted = (case["proof_key"], case["message"], case["proof"])
        same(name, comment, (key.hex(), message.hex(), proof.hex()), wanted)
    first = file["cases"][0]
    for case in file["degenerate"]["cases"]:
        try:
            x25519(unhex(first["end_secret"]), unhex(case["public"]))
        except Degenerate:
            pass
        else:
            sys.exit(f"{name}: {case['public']} is not degenerate")
        nonce, session_public, channel = (unhex(first[field]) for field in ("nonce", "session_public", "channel"))
        forged = prove(bytes(32), nonce, unhex(case["public"]), session_public, channel, 1, 1, b"")[2]
        same(name, case["comment"], forged.hex(), case["forged_proof"])


def address_of(text):
    """The address in its one spelling, or the error."""
    if len(text.encode()) > 255 or text.endswith("/"):
        return None, "Address(Malformed)"
    text = text.lower()
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return None, "Address(Malformed)"
    if parts.scheme not in ("ws", "wss") or not host or parts.path or parts.query or parts.fragment:
        return None, "Address(Malformed)"
    if "@" in parts.netloc or "?" in text or "#" in text or text.endswith(":"):
        return None, "Address(Malformed)"
    loopback = host == "localhost" or host == "::1" or (
        host.startswith("127.") and len(host.split(".")) == 4 and all(part.isdigit() for part in host.split("."))
    )
    if parts.scheme == "ws" and not (loopback or host.endswith(".onion")):
        return None, "Address(Unencrypted)"
    return text, None


def parse_link(text, kind):
    """Gives (fields, None) or (None, error)."""
    text, remote = text.strip(), False
    if kind == 1 and text.startswith("https://") and "/i#" in text:
        body, remote = text.split("/i#", 1)[1], True
    elif text[:6].lower() == "tacit:":
        body = text[6:]
    else:
        return None, "NotALink"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if any(letter not in alphabet for letter in body) or len(body) % 4 == 1:
        return None, "Damaged"
    data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != body:
        return None, "Damaged"  # Bits beyond the last byte that are not zero.
    if len(data) < 4 or sha256(data[:-4])[:4] != data[-4:]:
        return None, "Damaged"
    data = data[:-4]
    if not data or data[0] < 1:
        return None, "Damaged"
    if data[0] > 1:
        return None, "NewerVersion"
    if len(data) < 2:
        return None, "Damaged"
    if data[1] not in (1, 2):
        return None, "NewerVersion"
    if data[1] != kind:
        return None, "IsAnInvite" if data[1] == 1 else "IsAnEnrolment"
    fields, rest = {}, data[2:]
    if kind == 1:
        if len(rest) < 49:
            return None, "Damaged"
        fields.update(channel=rest[:16].hex(), secret=rest[16:48].hex(), remote=remote)
        rest = rest[48:]
    else:
        if len(rest) < 35:
            return None, "Damaged"
        (permits,) = struct.unpack(">H", rest[32:34])
        if not 1 <= permits <= 256:
            return None, "Damaged"
        fields.update(code=rest[:32].hex(), permits=permits)
        rest = rest[34:]
    flags, rest = rest[0], rest[1:]
    if flags > 1:
        return None, "NewerVersion"
    if flags == 1 and len(rest) < 32:
        return None, "Damaged"
    fields["pin"], rest = (rest[:32].hex(), rest[32:]) if flags else (None, rest)
    try:
        fields["address"], error = address_of(rest.decode("utf-8"))
    except UnicodeDecodeError:
        return None, "Damaged"
    return (None, error) if error else (fields, None)


def check_links():
    name = "links.json"
    file = load(name)
    for kind, group in ((1, "invites"), (2, "enrolments")):
        for case in file[group]:
            wanted = {key: value for key, value in case.items() if key not in ("comment", "text")}
            same(name, case["comment"], parse_link(case["text"], kind), (wanted, None))
    for case in file["refused"]:
        same(name, case["comment"], parse_link(case["text"], 1), (None, case["as_invite"]))
        same(name, case["comment"], parse_link(case["text"], 2), (None, case["as_enrolment"]))
    wrong = file["wrong_kind"]
    same(name, "an enrolment", parse_link(wrong["enrolment"]["text"], 1), (None, wrong["enrolment"]["as_invite"]))
    same(name, "an invite", parse_link(wrong["invite"]["text"], 2), (None, wrong["invite"]["as_enrolment"]))


def check_pins():
    name = "pins.json"
    for case in load(name)["cases"]:
        keys = [load_der_x509_certificate(unhex(case["certificate"])).public_key()]
        keys += [load_pem_private_key(case["key"].encode(), None).public_key()]
        for key in keys:
            info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            same(name, case["comment"], sha256(info).hex(), case["pin"])


# ---------------------------------------------------------------- frames

# Field number -> (name, kind): a kind is "number", "bytes", "text", a list of one kind, or a message by its name.
MESSAGES = {
    "to_relay": {
        1: ("request", "number"),
        2: ("enrol", "enrol"),
        3: ("open", "open"),
        4: ("attach", "attach"),
        5: ("rekey", "rekey"),
        6: ("send", "send"),
        7: ("ack", "ack"),
        8: ("close", "handle"),
        9: ("ping", "empty"),
    },
    "from_relay": {
        1: ("request", "number"),
        2: ("welcome", "welcome"),
        3: ("done", "empty"),
        4: ("refused", "refused"),
        5: ("attach_results", "attach_results"),
        6: ("accepted", "accepted"),
        7: ("pong", "pong"),
        8: ("deliver", "deliver"),
        9: ("drained", "handle"),
        10: ("room", "handle"),
        11: ("superseded", "handle"),
        12: ("closed", "closed"),
        13: ("invite_tried", "handle"),
        14: ("restarting", "restarting"),
    },
    "empty": {},
    "handle": {1: ("handle", "number")},
    "enrol": {1: ("code", "bytes"), 2: ("permit_hashes", ["bytes"])},
    "open": {
        1: ("channel", "bytes"),
        2: ("permit", "bytes"),
        3: ("key_a", "bytes"),
        4: ("key_b", "bytes"),
        5: ("join_by", "number"),
    },
    "attach": {1: ("items", ["attach_item"]), 2: ("window_boxes", "number"), 3: ("window_bytes", "number")},
    "attach_item": {1: ("channel", "bytes"), 2: ("end", "number"), 3: ("proof", "bytes")},
    "rekey": {1: ("handle", "number"), 2: ("new_key", "bytes"), 3: ("proof", "bytes")},
    "send": {1: ("handle", "number"), 2: ("n", "number"), 3: ("box", "bytes")},
    "ack": {1: ("handle", "number"), 2: ("up_to", "number")},
    "welcome": {
        1: ("nonce", "bytes"),
        2: ("session_public", "bytes"),
        3: ("relay_incarnation", "bytes"),
        4: ("limits", "limits"),
        5: ("notice", "text"),
    },
    "limits": {
        1: ("hold", "number"),
        2: ("in_flight", "number"),
        3: ("window_boxes", "number"),
        4: ("window_bytes", "number"),
        5: ("backlog_boxes", "number"),
        6: ("backlog_bytes", "number"),
    },
    "refused": {1: ("why", "number")},
    "attach_results": {1: ("results", ["attach_result"])},
    "attach_result": {1: ("attached", "attached"), 2: ("refused", "refused")},
    "attached": {1: ("handle", "number"), 2: ("waiting", "number"), 3: ("must_rekey", "flag")},
    "accepted": {1: ("handle", "number"), 2: ("n", "number"), 3: ("hold", "number")},
    "pong": {1: ("handles", ["number"])},
    "deliver": {1: ("handle", "number"), 2: ("seq", "number"), 3: ("box", "bytes"), 4: ("last", "flag")},
    "closed": {1: ("handle", "number"), 2: ("why", "number")},
    "restarting": {1: ("reconnect_in", "number")},
    # Between devices.
    "envelope": {
        1: ("stream", "bytes"),
        2: ("number", "number"),
        3: ("message_id", "bytes"),
        4: ("sent_at", "number"),
        5: ("receipt", "receipt"),
        8: ("text", "text_body"),
        20: ("sealing_key", "sealing_key"),
        21: ("position", "number"),
        22: ("tells_reads", "flag"),
        23: ("seen_up_to", "number"),
        30: ("retention", "retention"),
        31: ("deleted", "deleted"),
        40: ("statement", "statement_part"),
        41: ("pause", "pause"),
        42: ("word_question", "word_question"),
        43: ("word_reply", "word_reply"),
        80: ("reply", "reply"),
        81: ("edit", "edit"),
        82: ("withdrawal", "withdrawal"),
        70: ("attachment", "attachment"),
        71: ("chunk", "chunk"),
        72: ("transfer", "transfer_status"),
    },
    "statement_part": {
        1: ("kind", "number"),
        2: ("digest", "bytes"),
        3: ("part", "number"),
        4: ("count", "number"),
        5: ("bytes", "bytes"),
    },
    "practice_card": {
        1: ("version", "number"),
        2: ("signed_at", "number"),
        3: ("practice", "text"),
        4: ("zone", "text"),
        5: ("hours", ["week_hours"]),
        6: ("exceptions", ["hours_exception"]),
        7: ("response", "response_time"),
        8: ("cover", "text"),
        9: ("policy", "text"),
    },
    "week_hours": {1: ("day", "number"), 2: ("hours", "day_hours")},
    "day_hours": {1: ("from", "number"), 2: ("until", "number")},
    "hours_exception": {
        1: ("first", "number"),
        2: ("last", "number"),
        3: ("hours", ["day_hours"]),
        4: ("note", "text"),
        5: ("cover", "text"),
    },
    "response_time": {1: ("unit", "number"), 2: ("amount", "number")},
    "crisis_card": {1: ("version", "number"), 2: ("signed_at", "number"), 3: ("texts", ["crisis_text"])},
    "crisis_text": {1: ("locale", "text"), 2: ("advice", "text"), 3: ("calls", ["crisis_call"])},
    "crisis_call": {1: ("who", "text"), 2: ("where", "text")},
    "terms": {1: ("version", "number"), 2: ("signed_at", "number"), 3: ("text", "text")},
    "consent": {
        1: ("pairing", "bytes"),
        2: ("practice_key", "bytes"),
        3: ("terms_version", "number"),
        4: ("text_hash", "bytes"),
        5: ("from", "text"),
        6: ("agreed_at", "number"),
    },
    "farewell": {1: ("pairing", "bytes"), 2: ("manner", "number"), 3: ("words", "text"), 4: ("said_at", "number")},
    "pause": {1: ("sequence", "number"), 2: ("is_paused", "flag"), 3: ("words", "text")},
    "word_question": {1: ("question", "bytes")},
    "word_reply": {1: ("question", "bytes"), 2: ("nonce", "bytes"), 3: ("tag", "bytes")},
    "offer": {
        1: ("box_versions", ["number"]),
        2: ("sealing_key", "bytes"),
        3: ("reset_key", "bytes"),
        4: ("olm_identity", "bytes"),
        5: ("olm_one_time", "bytes"),
        6: ("from", "text"),
        40: ("practice_key", "bytes"),
        41: ("terms", "bytes"),
        42: ("practice_card", "bytes"),
        43: ("crisis_card", "bytes"),
    },
    "accept": {
        1: ("box_versions", ["number"]),
        2: ("fresh", "bytes"),
        3: ("sealing_key", "bytes"),
        4: ("reset_key", "bytes"),
        5: ("olm_identity", "bytes"),
        6: ("olm_message", "bytes"),
        40: ("consent_key", "bytes"),
        41: ("consent", "bytes"),
    },
    "attachment": {
        1: ("transfer", "bytes"),
        2: ("name", "text"),
        3: ("media_type", "text"),
        4: ("size", "number"),
        5: ("digest", "bytes"),
        6: ("thumbnail", "bytes"),
        7: ("duration_ms", "number"),
    },
    "chunk": {1: ("transfer", "bytes"), 2: ("number", "number"), 3: ("bytes", "bytes")},
    "transfer_status": {
        1: ("transfer", "bytes"),
        2: ("state", "number"),
        3: ("up_to", "number"),
        4: ("beyond", ["range"]),
        5: ("stalled", "flag"),
        6: ("own", "flag"),
    },
    "retention": {1: ("keep", "number"), 2: ("amount", "number"), 3: ("legal_hold", "flag")},
    "deleted": {},
    "reply": {1: ("to", "bytes"), 2: ("text", "text")},
    "edit": {1: ("message", "bytes"), 2: ("text", "text")},
    "withdrawal": {1: ("message", "bytes")},
    "receipt": {1: ("stream", "bytes"), 2: ("up_to", "number"), 3: ("beyond", ["range"])},
    "range": {1: ("first", "number"), 2: ("last", "number")},
    "text_body": {1: ("text", "text")},
    "sealing_key": {1: ("number", "number"), 2: ("key", "bytes"), 3: ("box_versions", ["number"])},
    "reset": {
        1: ("id", "bytes"),
        2: ("box_versions", ["number"]),
        3: ("fresh", "bytes"),
        4: ("sealing_key", "bytes"),
        5: ("olm_identity", "bytes"),
        6: ("olm_one_time", "bytes"),
        7: ("olm_message", "bytes"),
        8: ("had", "positions"),
        9: ("highest", "number"),
    },
    "positions": {1: ("up_to", "number"), 2: ("beyond", ["range"])},
}


def varint(data, at):
    value, shift = 0, 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("varint")
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def read_message(data, kind):
    """Protobuf to a dict; raises ValueError where it is malformed."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 2:
            length, at = varint(data, at)
            if at + length > len(data):
                raise ValueError("length")
            value, at = data[at : at + length], at + length
        elif tag & 7 in (1, 5):
            # No field of ours has a fixed width, so this is a field of a later version, or none.
            if tag >> 3 in MESSAGES[kind]:
                raise ValueError("wire type of a field")
            at += 8 if tag & 7 == 1 else 4
            if at > len(data):
                raise ValueError("length")
            continue
        else:
            raise ValueError("wire type")
        name, of = MESSAGES[kind].get(tag >> 3, (None, None))
        if name is None:
            continue
        one = of[0] if isinstance(of, list) else of
        if one in ("number", "flag") and isinstance(of, list) and isinstance(value, bytes):
            values, inner = [], 0
            while inner < len(value):
                number, inner = varint(value, inner)
                values.append(number)
            fields.setdefault(name, []).extend(values)
            continue
        if isinstance(value, int) != (one in ("number", "flag")):
            raise ValueError("wire type of a field")
        if one == "flag":
            value = bool(value)
        elif one == "bytes":
            value = value.hex()
        elif one == "text":
            value = value.decode("utf-8")
        elif one != "number":
            value = read_message(value, one)
        if isinstance(of, list):
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    return fields


def write_message(fields, kind):
    def number(value):
        out = b""
        while value > 0x7F:
            out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
        return out + bytes([value])

    def block(field, content):
        return number(field << 3 | 2) + number(len(content)) + content

    out = b""
    for field, (name, of) in sorted(MESSAGES[kind].items()):
        if name not in fields:
            continue
        one = of[0] if isinstance(of, list) else of
        values = fields[name] if isinstance(of, list) else [fields[name]]
        if one == "number" and isinstance(of, list):
            out += block(field, b"".join(map(number, values)))
            continue
        for value in values:
            if one in ("number", "flag"):
                out += number(field << 3) + number(int(value))
            elif one == "bytes":
                out += block(field, unhex(value))
            elif one == "text":
                out += block(field, value.encode())
            else:
                out += block(field, write_message(value, one))
    return out


def frame_error(direction, data):
    """What is wrong with bytes that came as a frame; None if nothing is."""
    try:
        frame = read_message(data, direction)
    except ValueError:
        return "Malformed"
    request = frame.pop("request", 0)
    if direction == "to_relay":
        if not request:
            return None if list(frame) == ["ack"] else "WrongValue"
        if not frame or "ack" in frame:
            return "answer UNSUPPORTED"
    else:
        answers = ("done", "refused", "attach_results", "accepted", "pong")
        if not frame or bool(request) != (list(frame)[0] in answers):
            return "WrongValue"
    (name, body), = frame.items()
    lengths = {
        "code": 32, "channel": 16, "permit": 32, "key_a": 32, "key_b": 32, "proof": 32, "new_key": 32, "nonce": 32,
        "session_public": 32, "relay_incarnation": 16,
    }  # fmt: skip
    lists = {"enrol": ("permit_hashes", 256), "attach": ("items", 64), "attach_results": ("results", 64)}
    if name in lists and not 1 <= len(body.get(lists[name][0], [])) <= lists[name][1]:
        return "WrongLength"
    if name == "welcome":
        limits = body.get("limits", {})
        if not 1 <= limits.get("hold", 0) <= 90 * 24 * 3600 or not limits.get("in_flight", 0):
            return "WrongValue"
        if len(body.get("notice", "").encode()) > 1000:
            return "WrongLength"
    parts = body["items"] if name == "attach" else [body]
    for part in parts:
        of = {"attach": "attach_item"}.get(name, name)
        if of == "attach_item" and part.get("end", 0) not in (1, 2):
            return "WrongValue"
        for field, kind in MESSAGES.get(of, {}).values():
            if field in lengths and kind == "bytes" and len(part.get(field, "")) != 2 * lengths[field]:
                return "WrongLength"
    if name == "open" and not body.get("join_by", 0) or name == "attach" and not body.get("window_boxes", 0):
        return "WrongValue"
    if name == "refused" and not 1 <= body.get("why", 0) <= 11 or name == "closed" and body.get("why", 0) not in (1, 2):
        return "WrongValue"
    if name == "attach_results" and not all(body["results"]):
        return "WrongValue"
    return None


def check_frames():
    name = "frames.json"
    file = load(name)
    for direction in ("to_relay", "from_relay"):
        for case in file[direction]:
            data = unhex(case["bytes"])
            same(name, case["comment"], read_message(data, direction), case["frame"])
            same(name, case["comment"], write_message(case["frame"], direction), data)
            same(name, case["comment"], frame_error(direction, data), None)
            assert len(data) <= file["max_frame"]
        for case in file["refused"][direction]:
            same(name, case["comment"], frame_error(direction, unhex(case["bytes"])), case["expected"])


MAX_NUMBER = 2**63 - 2


def has(text, least, most):
    return least <= len(text.encode()) <= most


def ranges_hold(part):
    last = part.get("up_to", 0)
    if last > MAX_NUMBER or len(part.get("beyond", [])) > 16:
        return False
    for one in part.get("beyond", []):
        first, end = one.get("first", 0), one.get("last", 0)
        if first < last + 2 or end < first or end > MAX_NUMBER:
            return False
        last = end
    return True


def key_holds(key, versions):
    """The coefficients of ML-KEM's part, 12 bits each, are below its modulus (FIPS 203 section 7.2)."""
    if len(key) != 2 * 1216 or 1 not in versions:
        return False
    coefficients = int.from_bytes(unhex(key)[:1152], "little")
    return all(coefficients >> 12 * at & 0xFFF < 3329 for at in range(768))


def attachment_holds(file):
    name, kind = file.get("name", ""), file.get("media_type", "").partition("/")
    turns = {0x61C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    deceives = any(c in "/\\" or ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or ord(c) in turns for c in name)
    return (
        len(file.get("transfer", "")) == 32
        and len(file.get("digest", "")) == 64
        and has(name, 1, 255)
        and name not in (".", "..")
        and not deceives
        and all(kind)
        and len("".join(kind)) <= 127
        and all(" " <= c <= "~" for c in "".join(kind))
        and file.get("size", 0) <= 2**40
        and len(file.get("thumbnail", "")) <= 2 * 12_000
        and file.get("duration_ms", 0) <= 86_400_000
    )


def chunk_holds(chunk):
    return len(chunk.get("transfer", "")) == 32 and chunk.get("number", 0) > 0 and 2 <= len(chunk.get("bytes", "")) <= 28_672


def status_holds(status):
    if len(status.get("transfer", "")) != 32 or not ranges_hold(status):
        return False
    state, own = status.get("state", 0), status.get("own", False)
    if state == 0:
        return not own
    told = status.get("up_to", 0) or status.get("beyond") or status.get("stalled", False)
    return not told and state <= 5 and (not own or state == 2)


def statement_part_holds(part):
    if part.get("kind", 0) not in LABELS:
        return True  # Of a newer version: shown as such.
    is_one = 1 <= part.get("part", 0) <= part.get("count", 0) <= 5
    return is_one and len(part.get("digest", "")) == 64 and 2 <= len(part.get("bytes", "")) <= 2 * 13_900


def pause_holds(pause):
    return 1 <= pause.get("sequence", 0) <= MAX_NUMBER and has(pause.get("words", ""), 0, 500)


def word_reply_holds(reply):
    return len(reply.get("question", "")) == len(reply.get("nonce", "")) == 64 and len(reply.get("tag", "")) in (0, 64)


PARTS = {
    "text": lambda text: has(text.get("text", ""), 1, 14_000),
    "statement": statement_part_holds,
    "pause": pause_holds,
    "word_question": lambda asked: len(asked.get("question", "")) == 64,
    "word_reply": word_reply_holds,
    "attachment": attachment_holds,
    "chunk": chunk_holds,
    "transfer": status_holds,
}


def envelope_holds(envelope):
    if len(envelope.get("stream", "")) != 32 or not ranges_hold(envelope.get("receipt", {})):
        return False
    if "receipt" in envelope and len(envelope["receipt"].get("stream", "")) != 32:
        return False
    if envelope.get("number", 0):
        if len(envelope.get("message_id", "")) != 32:
            return False
        if max(envelope["number"], envelope.get("position", 0)) > MAX_NUMBER:
            return False
    for body, named in (("reply", "to"), ("edit", "message"), ("withdrawal", "message")):
        if body in envelope:
            if len(envelope[body].get(named, "")) != 32:
                return False
            if body != "withdrawal" and not has(envelope[body].get("text", ""), 1, 13_900):
                return False
    kept = envelope.get("retention", {})
    most = {1: 100, 2: 36_500}.get(kept.get("keep", 0))
    if most is not None and not 1 <= kept.get("amount", 0) <= most:
        return False
    if envelope.get("number", 0) and ("chunk" in envelope or "transfer" in envelope):
        return False
    if not all(holds(envelope[part]) for part, holds in PARTS.items() if part in envelope):
        return False
    announced = envelope.get("sealing_key")
    if announced is not None:
        return announced.get("number", 0) > 0 and key_holds(announced.get("key", ""), announced.get("box_versions", []))
    return True


def reset_holds(reset):
    lengths = {"id": 16, "fresh": 32, "olm_identity": 32}
    if any(len(reset.get(field, "")) != 2 * length for field, length in lengths.items()):
        return False
    one_time, message = reset.get("olm_one_time", ""), reset.get("olm_message", "")
    if bool(one_time) == bool(message) or one_time and len(one_time) != 64:
        return False
    if not key_holds(reset.get("sealing_key", ""), reset.get("box_versions", [])):
        return False
    return reset.get("highest", 0) < 2**62 and ranges_hold(reset.get("had", {}))


def keys_hold(content, lengths):
    if any(len(content.get(field, "")) != 2 * length for field, length in lengths.items()):
        return False
    return all(key_holds(content.get(key, ""), content.get("box_versions", [])) for key in ("sealing_key", "reset_key"))


def offer_holds(offer):
    if not keys_hold(offer, {"olm_identity": 32, "olm_one_time": 32, "practice_key": 32}):
        return False
    key = unhex(offer["practice_key"])
    cards = [(1, offer.get("practice_card", "")), (2, offer.get("crisis_card", ""))]
    stated = [(3, offer.get("terms", ""))] + [(kind, card) for kind, card in cards if card]
    held = all(statement_holds(kind, key, unhex(statement)) for kind, statement in stated)
    return held and has(offer.get("from", ""), 1, 200)


def accept_holds(accept):
    if not keys_hold(accept, {"fresh": 32, "olm_identity": 32, "consent_key": 32}):
        return False
    return statement_holds(4, unhex(accept["consent_key"]), unhex(accept.get("consent", "")))


def pairing_name(channel, offer):
    return sha256(b"tacit v1 pairing", channel, struct.pack(">I", len(offer)), offer).hex()


def is_to(consent, practice_key, terms):
    """Whether the fields of a consent name these terms, of this practice."""
    wanted = (practice_key, terms["version"], sha256(terms["text"].encode()).hex())
    return (consent["practice_key"], consent["terms_version"], consent["text_hash"]) == wanted


def consents_to(consent, channel, offer):
    """Whether a consent is to the terms of an offer, in the pairing that it begins."""
    body, read = read_message(consent[64:], "consent"), read_message(offer, "offer")
    terms = read_message(unhex(read["terms"])[64:], "terms")
    named = (body["pairing"], body["from"]) == (pairing_name(channel, offer), read["from"])
    return named and is_to(body, read["practice_key"], terms)


def check_content():
    name = "content.json"
    file = load(name)
    kinds = {"offer": offer_holds, "accept": accept_holds, "envelope": envelope_holds, "reset": reset_holds}
    channel, offer = unhex(file["accepts"]["channel"]), unhex(file["accepts"]["offer"])
    for case in file["accepts"]["cases"]:
        same(name, case["comment"], consents_to(unhex(case["fields"]["consent"]), channel, offer), True)
    for kind, holds in kinds.items():
        part = file[kind + "s"]
        for case in part["cases"]:
            data = unhex(case["bytes"])
            same(name, case["comment"], read_message(data, kind), case["fields"])
            same(name, case["comment"], write_message(case["fields"], kind), data)
            same(name, case["comment"], holds(case["fields"]), True)
        for case in part["refused"]:
            same(name, case["comment"], holds(read_message(unhex(case["bytes"]), kind)), False)


# ---------------------------------------------------------------- invites and pairings


def check_invites():
    name = "invites.json"
    for case in load(name)["cases"]:
        def derived(label):
            return hkdf(unhex(case["channel"]), unhex(case["invite_secret"]), label)

        got = {
            "end_secret": derived(b"tacit v1 invite end key"),
            "offer_seed": derived(b"tacit v1 invite offer seed"),
            "offer_psk": derived(b"tacit v1 invite offer psk"),
            "accept_psk": derived(b"tacit v1 invite accept psk"),
        }
        got["end_public"] = x25519_public(got["end_secret"])
        got["offer_public"] = XWing(got["offer_seed"]).public
        for field, value in got.items():
            same(name, f"{case['comment']}: {field}", value.hex(), case[field])


def word_list():
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="ascii") as file:
            words = file.read().split()
    else:
        try:
            from mnemonic import Mnemonic
        except ImportError:
            uncovered.append("pairings.json, resets.json, backups.json: words (no BIP-39 word list here)")
            return None
        words = Mnemonic("english").wordlist
    # The SHA-256 of english.txt, one word a line.
    digest = hashlib.sha256(("\n".join(words) + "\n").encode()).hexdigest()
    if digest != "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda":
        sys.exit("this is not the BIP-39 English word list")
    return words


def safety_words(words, transcript):
    bits = int.from_bytes(sha256(b"tacit v1 safety words", transcript), "big") >> (256 - 132)
    return " ".join(words[bits >> 11 * (11 - word) & 2047] for word in range(12))


def check_pairings(words):
    name = "pairings.json"
    for case in load(name)["cases"]:
        offer, accept = unhex(case["offer"]), unhex(case["accept"])
        transcript = sha256(
            b"tacit v1 transcript",
            unhex(case["channel"]),
            struct.pack(">I", len(offer)),
            offer,
            struct.pack(">I", len(accept)),
            accept,
        )
        same(name, case["comment"], transcript.hex(), case["transcript"])
        secret = unhex(case["invite_secret"]) + unhex(case["accept_random"])
        for field, label in (
            ("psk_a_to_b", b"tacit v1 psk a to b"),
            ("psk_b_to_a", b"tacit v1 psk b to a"),
            ("psk_reset", b"tacit v1 psk reset"),
        ):
            same(name, f"{case['comment']}: {field}", hkdf(transcript, secret, label).hex(), case[field])
        if words:
            same(name, case["comment"], safety_words(words, transcript), case["safety_words"])


def check_offers():
    name = "pairings.json"
    most = 15_178
    for case in load(name)["offers"]:
        offer = bytes(at % 251 for at in range(case["length"]))
        parts = [offer[at : at + most] for at in range(0, len(offer), most)]
        payloads = [bytes([number, len(parts)]) + part for number, part in enumerate(parts, 1)]
        told = [{"header": p[:2].hex(), "length": len(p), "sha256": sha256(p).hex()} for p in payloads]
        same(name, case["comment"], told if len(parts) <= 8 else None, case["payloads"])


def check_resets(words):
    name = "resets.json"
    for case in load(name)["cases"]:
        request, answer = unhex(case["request"]), unhex(case["answer"])
        transcript = sha256(
            b"tacit v1 reset transcript",
            unhex(case["channel"]),
            bytes([case["asker"]]),
            struct.pack(">I", len(request)),
            request,
            struct.pack(">I", len(answer)),
            answer,
        )
        same(name, case["comment"], transcript.hex(), case["transcript"])
        secret = unhex(case["psk_reset"]) + unhex(case["request_random"]) + unhex(case["answer_random"])
        for field, label in (
            ("psk_a_to_b", b"tacit v1 reset psk a to b"),
            ("psk_b_to_a", b"tacit v1 reset psk b to a"),
        ):
            same(name, f"{case['comment']}: {field}", hkdf(transcript, secret, label).hex(), case[field])
        if words:
            same(name, case["comment"], safety_words(words, transcript), case["safety_words"])


# ---------------------------------------------------------------- Olm, session config version 2


def olm_fields(data):
    """The fields of Olm's own protobuf-like encoding."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        fields[tag >> 3] = value
    return fields


def olm_decrypt(chain_key, index, message):
    """A message of one chain, whose chain key of index 0 is given."""
    if message[0] != 4:
        raise ValueError("not of session config version 2")
    body, mac = message[:-32], message[-32:]
    fields = olm_fields(body[1:])
    same("ratchet.json", "chain index", fields.get(2, 0), index)
    for _ in range(index):
        chain_key = hmac_sha256(chain_key, b"\x02")
    keys = hkdf(b"\x00", hmac_sha256(chain_key, b"\x01"), b"OLM_KEYS", 80)
    same("ratchet.json", "MAC", hmac_sha256(keys[32:64], body), mac)
    decryptor = Cipher(algorithms.AES(keys[:32]), modes.CBC(keys[64:])).decryptor()
    padded = decryptor.update(fields[4]) + decryptor.finalize()
    return fields[1], padded[: -padded[-1]]


def check_ratchet():
    name = "ratchet.json"
    file = load(name)

    def secret(pair):
        return unhex(pair["secret"])

    def public(pair):
        same(name, "public key", x25519_public(secret(pair)).hex(), pair["public"])
        return unhex(pair["public"])

    a_identity, a_base, b_identity, b_one_time = (
        file[pair] for pair in ("a_identity", "a_base", "b_identity", "b_one_time")
    )
    # As B works it out.
    shared = (
        x25519(secret(b_one_time), public(a_identity))
        + x25519(secret(b_identity), public(a_base))
        + x25519(secret(b_one_time), public(a_base))
    )
    same(name, "3DH", shared.hex(), file["shared_3dh"])
    keys = hkdf(b"\x00", shared, b"OLM_ROOT", 64)
    chains = [keys]
    for ours, theirs in ((file["b_ratchet"][0], file["a_ratchet"][0]), (file["a_ratchet"][1], file["b_ratchet"][0])):
        chains.append(hkdf(chains[-1][:32], x25519(secret(ours), public(theirs)), b"OLM_RATCHET", 64))
    same(name, "root keys", [chain[:32].hex() for chain in chains], file["root_keys"])
    same(name, "chain keys", [chain[32:].hex() for chain in chains], file["chain_keys"])
    ratchets = [file["a_ratchet"][0], file["b_ratchet"][0], file["a_ratchet"][1]]
    for (chain, index), case in zip(((0, 0), (0, 1), (1, 0), (2, 0)), file["messages"]):
        message = unhex(case["message"])
        kind, inner = message[0], message[1:]
        if kind == 0:
            same(name, "prekey version", inner[0], 3)
            fields = olm_fields(inner[1:])
            same(name, "keys", [fields[n] for n in (1, 2, 3)], [public(b_one_time), public(a_base), public(a_identity)])
            inner = fields[4]
        same(name, "type", kind, 0 if chain == 0 else 1)
        got = olm_decrypt(chains[chain][32:], index, inner)
        same(name, case["comment"], got, (public(ratchets[chain]), unhex(case["plaintext"])))
    for case in file["refused"]:
        try:
            olm_decrypt(chains[0][32:], 0, olm_fields(unhex(case["message"])[2:])[4])
        except ValueError:
            same(name, case["comment"], "refused", "refused")
        else:
            sys.exit(f"{name}: {case['comment']}: it was read")


# ---------------------------------------------------------------- backups

BACKUP_HEADER, BACKUP_CHECK, BACKUP_PIECE = 58, 32, 65_536


def backup_strong(header, case, words):
    """The 32 bytes that a secret stands for. Without the word list, words are taken at their case's word."""
    memory, passes, lanes = (int.from_bytes(header[14 + at : 18 + at]) for at in (0, 4, 8))
    if header[13] == 1:
        derive = Argon2id(salt=header[26:58], length=32, iterations=passes, lanes=lanes, memory_cost=memory)
        return derive.derive(case["passphrase"].encode())
    assert (header[13], memory, passes, lanes) == (2, 0, 0, 0)
    if words is None:
        return unhex(case["strong"])
    bits = "".join(f"{words.index(word):011b}" for word in case["words"].split())
    entropy, checksum = int(bits[:256], 2).to_bytes(32, "big"), int(bits[256:], 2)
    assert checksum == hashlib.sha256(entropy).digest()[0]
    return entropy


def backup_keys(header, strong):
    return [hkdf(header[26:58], strong, f"tacit backup v1 {label}".encode() + header) for label in ("check", "stream")]


def backup_pieces(data):
    size = BACKUP_PIECE + 16
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def backup_nonce(number, count):
    return bytes(7) + number.to_bytes(4, "big") + bytes([number == count - 1])


def open_backup(file, case, words):
    """The plaintext, or why there is none."""
    header, check = file[:BACKUP_HEADER], file[BACKUP_HEADER : BACKUP_HEADER + BACKUP_CHECK]
    if header[:12] != b"tacit backup" or header[12] == 0:
        return "not a backup"
    if header[12] > 1:
        return "a newer format"
    if len(check) < BACKUP_CHECK:
        return "cut off"
    expected, key = backup_keys(header, backup_strong(header, case, words))
    if expected != check:
        return "another secret"
    pieces, plaintext = backup_pieces(file[BACKUP_HEADER + BACKUP_CHECK :]), b""
    for number, piece in enumerate(pieces):
        try:
            plaintext += ChaCha20Poly1305(key).decrypt(backup_nonce(number, len(pieces)), piece, b"")
        except InvalidTag:
            return "altered"
    return plaintext


def check_backups(words):
    name = "backups.json"
    file = load(name)
    for case in file["cases"]:
        plaintext = bytes(at % 251 for at in range(case["plaintext_length"]))
        kind, stretch = (1, (65_536, 3, 4)) if "passphrase" in case else (2, (0, 0, 0))
        header = b"tacit backup" + bytes([1, kind]) + b"".join(number.to_bytes(4, "big") for number in stretch)
        header += unhex(case["salt"])
        strong = backup_strong(header, case, words)
        same(name, case["comment"], strong, unhex(case["strong"]))
        same(name, case["comment"], backup_keys(header, strong), [unhex(case["check"]), unhex(case["key"])])
        pieces = [plaintext[at : at + BACKUP_PIECE] for at in range(0, len(plaintext), BACKUP_PIECE)] or [b""]
        made = header + unhex(case["check"])
        for number, piece in enumerate(pieces):
            made += ChaCha20Poly1305(unhex(case["key"])).encrypt(backup_nonce(number, len(pieces)), piece, b"")
        same(name, case["comment"], hashlib.sha256(made).hexdigest(), case["file_sha256"])
        if "file" in case:
            same(name, case["comment"], made, unhex(case["file"]))
        same(name, case["comment"], open_backup(made, case, words), plaintext)
    for case in file["refused"]:
        opened = open_backup(unhex(case["file"]), file["cases"][0], words)
        same(name, case["comment"], opened, case["expected"])
# ---------------------------------------------------------------- statements, hours, the agreed word

LABELS = {
    1: b"tacit v1 practice card",
    2: b"tacit v1 crisis card",
    3: b"tacit v1 terms",
    4: b"tacit v1 consent",
    5: b"tacit v1 farewell",
}

# Encodings of the points of small order, as far as a key may be written.
SMALL_ORDER = {
    bytes(32),
    bytes(31) + b"\x80",
    b"\x01" + bytes(31),
    b"\x01" + bytes(30) + b"\x80",
    b"\xec" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
}


def are_hours(part):
    start, end = part.get("from", 0), part.get("until", 0)
    return start < 1440 and start < end <= start + 1440


def day_of(number):
    """Raises ValueError where there is no such day."""
    return date(number // 10_000, number // 100 % 100, number % 100)


def exception_holds(exception):
    hours = exception.get("hours", [])
    if len(hours) > 8 or not all(map(are_hours, hours)):
        return False
    if not (has(exception.get("note", ""), 0, 500) and has(exception.get("cover", ""), 0, 1_000)):
        return False
    return day_of(exception.get("first", 0)) <= day_of(exception.get("last", 0))


def practice_card_holds(card):
    zone, hours, exceptions = card.get("zone", ""), card.get("hours", []), card.get("exceptions", [])
    if not (has(card.get("practice", ""), 1, 200) and has(zone, 1, 64) and re.fullmatch(r"[A-Za-z0-9/_+-]+", zone)):
        return False
    if not (has(card.get("cover", ""), 0, 1_000) and has(card.get("policy", ""), 0, 4_000)):
        return False
    if len(hours) > 64 or not all(1 <= one.get("day", 0) <= 7 and are_hours(one.get("hours", {})) for one in hours):
        return False
    if len(exceptions) > 100 or not all(map(exception_holds, exceptions)):
        return False
    response = card.get("response", {})
    least, most = {1: (1, 527_040), 2: (1, 527_040), 3: (0, 366)}.get(response.get("unit", 0), (0, 2**64))
    return least <= response.get("amount", 0) <= most


def crisis_card_holds(card):
    texts = card.get("texts", [])
    locales = [text.get("locale", "").lower() for text in texts]
    if not 1 <= len(texts) <= 30 or len(set(locales)) < len(locales):
        return False
    for text, locale in zip(texts, locales):
        calls = text.get("calls", [])
        if not (has(locale, 2, 35) and re.fullmatch(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8})*", locale)):
            return False
        if not has(text.get("advice", ""), 1, 4_000) or len(calls) > 20:
            return False
        if not all(has(call.get(line, ""), 1, 200) for call in calls for line in ("who", "where")):
            return False
    return True


def consent_holds(consent):
    named = all(len(consent.get(name, "")) == 64 for name in ("pairing", "practice_key", "text_hash"))
    return named and has(consent.get("from", ""), 1, 200)


def farewell_holds(farewell):
    said = len(farewell.get("pairing", "")) == 64 and farewell.get("manner", 0) in (1, 2)
    return said and has(farewell.get("words", ""), 0, 4_000)


# The message of each kind, its longest encoding, which of its fields is a version, and its own rules.
BODIES = {
    1: ("practice_card", 30_000, "version", practice_card_holds),
    2: ("crisis_card", 40_000, "version", crisis_card_holds),
    3: ("terms", 60_000, "version", lambda terms: has(terms.get("text", ""), 1, 40_000)),
    4: ("consent", 60_000, "terms_version", consent_holds),
    5: ("farewell", 60_000, None, farewell_holds),
}


def body_holds(kind, body):
    message, longest, version, holds = BODIES[kind]
    try:
        fields = read_message(body, message)
        has_version = version is None or 1 <= fields.get(version, 0) <= MAX_NUMBER
        return len(body) <= longest and has_version and holds(fields)
    except ValueError:
        return False


def is_signed(kind, public, statement):
    if len(statement) < 64 or public in SMALL_ORDER or statement[:32] in SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(statement[:64], LABELS[kind] + statement[64:])
    except (InvalidSignature, ValueError):
        return False
    return True


def statement_holds(kind, public, statement):
    return is_signed(kind, public, statement) and body_holds(kind, statement[64:])


def consent_file_holds(text):
    file = json.loads(text)
    keys = [unhex(file[name]) for name in ("practice_key", "consent_key")]
    terms, consent = (unhex(file[name]) for name in ("terms_statement", "consent_statement"))
    if not (statement_holds(3, keys[0], terms) and statement_holds(4, keys[1], consent)):
        return False
    terms, consent = read_message(terms[64:], "terms"), read_message(consent[64:], "consent")
    if not is_to(consent, file["practice_key"], terms):
        return False
    at = consent["agreed_at"]
    agreed = datetime.fromtimestamp(at // 1000, timezone.utc) + timedelta(milliseconds=at % 1000)
    says = (file["tacit_consent"], file["practice"], file["terms_version"], file["terms"])
    return says == (1, consent["from"], terms["version"], terms["text"]) and datetime.fromisoformat(file["agreed_at"]) == agreed


def check_statements():
    name = "statements.json"
    file = load(name)
    offer = unhex(file["offer"])
    pairing = pairing_name(unhex(file["channel"]), offer)
    same(name, "pairing", pairing, file["pairing"])
    for case in file["cases"]:
        body, statement, public = unhex(case["body"]), unhex(case["statement"]), unhex(case["public"])
        message = BODIES[case["kind"]][0]
        same(name, case["comment"], read_message(body, message), case["fields"])
        same(name, case["comment"], write_message(case["fields"], message), body)
        key = Ed25519PrivateKey.from_private_bytes(unhex(case["secret"]))
        same(name, case["comment"], key.public_key().public_bytes_raw(), public)
        same(name, case["comment"], (key.sign(LABELS[case["kind"]] + body) + body).hex(), statement.hex())
        same(name, case["comment"], statement_holds(case["kind"], public, statement), True)
        same(name, case["comment"], sha256(statement).hex(), case["digest"])
        for kind in LABELS:
            same(name, case["comment"], is_signed(kind, public, statement), kind == case["kind"])
    fields = {case["kind"]: case["fields"] for case in file["cases"]}
    publics = {case["kind"]: case["public"] for case in file["cases"]}
    same(name, "consent", fields[4]["pairing"], pairing)
    same(name, "consent", is_to(fields[4], publics[3], fields[3]), True)
    for case in file["unreadable"]:
        same(name, case["comment"], body_holds(case["kind"], unhex(case["body"])), False)
    for case in file["refused"]:
        same(name, case["comment"], statement_holds(case["kind"], unhex(case["public"]), unhex(case["statement"])), False)
    same(name, "the file of a consent", consent_file_holds(file["consent_file"]), True)
    for field in ("practice", "agreed_at", "terms", "practice_key", "consent_statement"):
        altered = json.loads(file["consent_file"])
        altered[field] = altered[field][:-1] + ("1" if altered[field][-1] != "1" else "2")
        same(name, f"the file of a consent, with another {field}", consent_file_holds(json.dumps(altered)), False)


class Hours:
    """When a practice is open. Python's own time zones; moments are milliseconds since the epoch."""

    def __init__(self, card, around):
        self.zone, self.card = ZoneInfo(card["zone"]), card
        first = datetime.fromtimestamp(around / 1000, self.zone).date() - timedelta(days=2)
        self.days = [self.on(first + timedelta(days=n)) for n in range(200)]
        merged = []
        for start, end in sorted(span for day in self.days for span in day):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        self.open = merged

    def exception(self, day):
        number = day.year * 10000 + day.month * 100 + day.day
        for exception in self.card["exceptions"]:
            if exception["first"] <= number <= exception["last"]:
                return exception
        return None

    def on(self, day):
        exception = self.exception(day)
        if exception is not None:
            spans = exception["hours"]
        else:
            spans = [[start, end] for weekday, start, end in self.card["hours"] if weekday == day.isoweekday()]
        moments = [(self.moment(day, start), self.moment(day, end)) for start, end in spans]
        return [(start, end) for start, end in moments if start < end]

    def moment(self, day, minutes):
        """The first moment at which the clock on the wall shows it, or has gone past it."""
        wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)

        def shows(at):
            return datetime.fromtimestamp(at, self.zone).replace(tzinfo=None)

        guess = int(wall.replace(tzinfo=timezone.utc).timestamp())
        # Within a day of it the clock shows it or jumps over it; the first such second.
        seconds = range(guess - 86400, guess + 86400)
        exact = [at for at in self.candidates(wall) if shows(at) == wall]
        if exact:
            return min(exact) * 1000
        # It is skipped: the clock never goes back within that day, so the first second past it can be searched for.
        return seconds[bisect.bisect_left(seconds, wall, key=shows)] * 1000

    def candidates(self, wall):
        return {int(wall.replace(tzinfo=self.zone, fold=fold).timestamp()) for fold in (0, 1)}

    def state(self, at):
        if not self.card["hours"] and not self.card["exceptions"]:
            return None, None
        for start, end in self.open:
            if start <= at < end:
                return True, end
            if start > at:
                return False, start
        return False, None

    def answer_by(self, at):
        if self.card["response"] is None:
            return None
        unit, amount = self.card["response"]
        is_open, changes = self.state(at)
        if unit == 1:
            day = datetime.fromtimestamp(at / 1000, self.zone).date()
            exception = self.exception(day)
            is_away = exception is not None and not exception["hours"] and not is_open
            return (changes if is_away else at) + amount * 60000
        if unit == 2:
            left = amount * 60000
            for start, end in self.open:
                start = max(start, at)
                if end > start:
                    if left <= end - start:
                        return start + left
                    left -= end - start
            return None
        ends = [max(end for _, end in day) for day in self.days if day]
        ends = [end for end in ends if end > at]
        return ends[amount] if amount < len(ends) else None


def check_hours():
    name = "hours.json"
    for case in load(name)["cases"]:
        try:
            hours = Hours(case["card"], case["moments"][0]["at"])
        except ZoneInfoNotFoundError:
            uncovered.append(f"{name}: {case['comment']} (no time zone database here: pip install tzdata)")
            continue
        for moment in case["moments"]:
            is_open, changes = hours.state(moment["at"])
            got = {"at": moment["at"], "open": is_open, "changes": changes, "answer_by": hours.answer_by(moment["at"])}
            same(name, f"{case['comment']} at {moment['at']}", got, moment)


def check_agreed_word():
    name = "agreed-word.json"
    for case in load(name)["cases"]:
        word = " ".join(case["word"].split()).lower()
        kdf = Argon2id(salt=unhex(case["pairing"]), length=32, iterations=3, lanes=4, memory_cost=64 * 1024)
        key = kdf.derive(word.encode())
        same(name, case["comment"], key.hex(), case["word_key"])
        for field, end in (("tag_for_a", 1), ("tag_for_b", 2)):
            message = b"tacit v1 agreed word" + bytes([end]) + unhex(case["question"]) + unhex(case["nonce"])
            same(name, case["comment"], hmac_sha256(key, message).hex(), case[field])


if __name__ == "__main__":
    check_external()
    check_permits()
    check_proofs()
    check_links()
    check_pins()
    check_frames()
    check_box_forms()
    check_content()
    check_invites()
    bip39 = word_list()
    check_pairings(bip39)
    check_offers()
    check_resets(bip39)
    check_sealed_boxes()
    check_ratchet()
    check_backups(bip39)
    check_statements()
    check_hours()
    check_agreed_word()
    for file_name, count in counts.items():
        print(f"{file_name}: {count} comparisons hold")
    for note in uncovered:
        print(f"not covered here: {note}")
