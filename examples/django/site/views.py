"""The page and its form. The form's items go to the group, whoever holds the sockets."""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from consumers import GROUP, MAX_TEXT


class NewsForm(forms.Form):
    text = forms.CharField(max_length=MAX_TEXT, widget=forms.TextInput(attrs={"autocomplete": "off"}))


@require_http_methods(["GET", "POST"])
def news(request):
    form = NewsForm(request.POST or None)
    if form.is_valid():
        item = {"type": "news.item", "text": form.cleaned_data["text"], "by": "Django"}
        async_to_sync(get_channel_layer().group_send)(GROUP, item)
        return HttpResponse(status=204)  # a browser stays on the page, and the page keeps its sockets
    status = 400 if request.method == "POST" else 200
    return render(request, "news.html", {"form": form, "max_text": MAX_TEXT, "socket": settings.SOCKET_URL}, status=status)
