"""The page, and the files that it needs."""

from django.conf import settings
from django.urls import path
from django.views.static import serve

from views import news

urlpatterns = [
    path("", news),
    # Good enough for two files; a site in production leaves them to its web server.
    path("static/<path:path>", serve, {"document_root": settings.BASE_DIR / "static"}),
]
