"""The consumer under Daphne. news.go is the same in Go, and a member of the same group."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer

GROUP = "news"
MAX_TEXT = 200  # characters


class NewsConsumer(AsyncJsonWebsocketConsumer):
    groups = [GROUP]

    async def receive_json(self, content):
        text = str(content.get("text", "")).strip()
        if not 1 <= len(text) <= MAX_TEXT:
            await self.send_json({"error": f"An item has 1 to {MAX_TEXT} characters; this one has {len(text)}."})
            return
        await self.channel_layer.group_send(GROUP, {"type": "news.item", "text": text, "by": "Daphne"})

    async def news_item(self, event):
        await self.send_json({"text": event["text"], "by": event["by"]})
