"""What stays in Django: it knows the users, and gives those who have logged in a ticket for the sockets in Go."""

from django.contrib.auth import get_user_model, login
from django.core.signing import TimestampSigner
from django.http import HttpResponseForbidden, JsonResponse
from django.urls import path


def enter(request):
    """Stands for a login page: it believes everybody."""
    user, _ = get_user_model().objects.get_or_create(username=request.POST["name"])
    login(request, user)
    return JsonResponse({})


def ticket(request):
    if not request.user.is_authenticated:
        return HttpResponseForbidden()
    signer = TimestampSigner(sep=".", salt="socket")
    return JsonResponse({"ticket": signer.sign_object({"user": request.user.username})})


urlpatterns = [path("enter/", enter), path("ticket/", ticket)]
