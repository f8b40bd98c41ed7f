"""A Django project with one consumer, for Daphne. CHANNEL_LAYER in the environment is the layer's setting, as JSON."""

import json
import os

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="test",
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": json.loads(os.environ["CHANNEL_LAYER"])},
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402


class Chat(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("chat.lobby", self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard("chat.lobby", self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send("chat.lobby", {"type": "chat.message", "text": text_data})

    async def chat_message(self, event):
        await self.send(text_data=event["text"])


application = Chat.as_asgi()
