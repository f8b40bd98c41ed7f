"""The application: Django by HTTP, and the consumers."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django_application = get_asgi_application()  # before the imports that need Django's settings

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from consumers import Chat, Shout, Words  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                path("shout/<slug:room>/", AuthMiddlewareStack(Shout.as_asgi())),
                re_path("", django_application),
            ]
        ),
        "websocket": AuthMiddlewareStack(URLRouter([path("ws/chat/<slug:room>/", Chat.as_asgi())])),
        "channel": ChannelNameRouter({"words": Words.as_asgi()}),
    }
)
