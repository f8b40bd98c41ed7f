"""What channels_redis can do since 4.2.1, for tests against the 4.0.0 of Debian: JSON, encryption with PubSub, and another
number of random bytes.

This is not code of channels_redis. It is written from a description of what its later versions put on the wire, on top of the
layers of 4.0.0, which do all the rest: they subscribe, publish, store and read. Tokens are made by Python's cryptography.
"""

import base64
import hashlib
import json
import os

import msgpack
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from cryptography.fernet import Fernet, MultiFernet


class Format:
    """Random bytes, then msgpack or UTF-8 JSON, in a Fernet token if there are keys."""

    def __init__(self, keys, name, random_bytes, ttl):
        digests = [hashlib.sha256(key.encode()).digest() for key in keys or []]
        self.crypter = MultiFernet([Fernet(base64.urlsafe_b64encode(d)) for d in digests]) if digests else None
        self.name, self.random_bytes, self.ttl = name, max(random_bytes, 0), ttl

    def serialize(self, message):
        data = json.dumps(message).encode() if self.name == "json" else msgpack.packb(message)
        if self.crypter:
            data = self.crypter.encrypt(data)
        return os.urandom(self.random_bytes) + data

    def deserialize(self, data):
        data = data[self.random_bytes :]
        if self.crypter:
            data = self.crypter.decrypt(data, self.ttl)
        return json.loads(data) if self.name == "json" else msgpack.unpackb(data)


class CoreLayer(RedisChannelLayer):
    def __init__(self, *, symmetric_encryption_keys=None, serializer_format="msgpack", random_prefix_length=12, **config):
        super().__init__(**config)
        self.format = Format(symmetric_encryption_keys, serializer_format, random_prefix_length, self.expiry + 10)

    def serialize(self, message):
        return self.format.serialize(message)

    def deserialize(self, message):
        return self.format.deserialize(message)


class PubSubLayer(RedisPubSubChannelLayer):
    def __init__(self, *, symmetric_encryption_keys=None, serializer_format="msgpack", **config):
        super().__init__(**config)
        self.format = Format(symmetric_encryption_keys, serializer_format, 0, None)

    def serialize(self, message):
        return self.format.serialize(message)

    def deserialize(self, message):
        return self.format.deserialize(message)
