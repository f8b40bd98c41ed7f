"""The settings of the example: no database, no sessions, no users."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent

# One process needs no key that survives it. Several, and sessions, need one from the environment.
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

ROOT_URLCONF = "urls"
ASGI_APPLICATION = "asgi.application"
INSTALLED_APPS = ["channels"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
    }
]
DATABASES = {}
USE_TZ = True
TIME_ZONE = "UTC"

# Where the page finds the socket in Go: -addr of the Go server.
SOCKET_URL = os.environ.get("SOCKET_URL") or "ws://127.0.0.1:8001/ws/news/"

# The same Redis, prefix and layer as in main.go: this is all that makes the Go server a part of the deployment.
LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": LAYERS[os.environ.get("LAYER") or "core"],
        "CONFIG": {
            "hosts": [os.environ.get("REDIS_URL") or "redis://localhost:6379"],
            "prefix": "example",
        },
    }
}
