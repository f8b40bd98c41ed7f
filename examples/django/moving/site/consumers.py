"""The consumers before the move. Each has its twin in Go beside this folder."""

from asgiref.sync import async_to_sync
from channels.consumer import SyncConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import JsonWebsocketConsumer


class Chat(JsonWebsocketConsumer):
    def connect(self):
        self.user = self.scope["user"]
        if not self.user.is_authenticated:
            self.close()
            return
        self.group = "chat." + self.scope["url_route"]["kwargs"]["room"]
        async_to_sync(self.channel_layer.group_add)(self.group, self.channel_name)
        self.accept()

    def disconnect(self, code):
        if hasattr(self, "group"):
            async_to_sync(self.channel_layer.group_discard)(self.group, self.channel_name)

    def receive_json(self, content):
        if "count" in content:
            order = {"type": "words.count", "text": content["count"], "reply_to": self.channel_name}
            async_to_sync(self.channel_layer.send)("words", order)
            return
        said = {"type": "chat.message", "user": self.user.username, "text": content["text"]}
        async_to_sync(self.channel_layer.group_send)(self.group, said)

    def chat_message(self, event):
        self.send_json({"user": event["user"], "text": event["text"]})

    def chat_counted(self, event):
        self.send_json({"words": event["words"]})


class Shout(AsyncHttpConsumer):
    async def handle(self, body):
        if not self.scope["user"].is_authenticated:
            await self.send_response(401, b"log in first\n")
            return
        group = "chat." + self.scope["url_route"]["kwargs"]["room"]
        said = {"type": "chat.message", "user": self.scope["user"].username, "text": body.decode()}
        await self.channel_layer.group_send(group, said)
        await self.send_response(200, b"said\n", headers=[(b"Content-Type", b"text/plain")])


class Words(SyncConsumer):
    def words_count(self, event):
        answer = {"type": "chat.counted", "words": len(event["text"].split())}
        async_to_sync(self.channel_layer.send)(event["reply_to"], answer)
