"""The sockets that stayed in Python."""

from django.urls import path

from consumers import NewsConsumer

websocket_urlpatterns = [path("ws/django/", NewsConsumer.as_asgi())]
